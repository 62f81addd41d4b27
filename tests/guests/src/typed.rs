//! What is typed at a console, for guests that read it.

use core::time::Duration;

use mayfly::{Result, console, println, time};

/// How long it may take to type.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Asks who is there, and checks the answer, which has a mistake that is corrected.
pub async fn check_name() -> Result {
    println!("Who is there?");
    let name = time::timeout(PATIENCE, console::read_line()).await;
    crate::check(name.is_ok_and(|name| name == "Mayfly"), "it is somebody else")
}
