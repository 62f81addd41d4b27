//! hello: prints a line and ends.

use anyhow::{Result, ensure};

use super::{Check, PATIENCE, check};
use crate::test::guest::TestGuest;

pub const CHECKS: &[Check] = &[check("greets", greets)];

/// It prints its line and ends well.
fn greets(guest: &mut TestGuest) -> Result<()> {
    let status = guest.wait(PATIENCE)?;
    let console = guest.console();
    ensure!(console.to_lowercase().contains("hello"), "it does not say hello");
    ensure!(status == 0, "its exit status is {status}");
    Ok(())
}
