//! What is typed at Xen's console arrives: a line that is corrected, and more than ring and queue
//! hold.
//@ machine: xen
//@ network: none
//@ dom0: type.sh
//@ report: Who is there?

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::typed::{self, PATIENCE};
use mayfly::{console, println, time};

/// Bytes that are typed at once: digits, each a little after the last.
const MANY: usize = 5000;

#[mayfly::main]
async fn main() -> mayfly::Result {
    typed::check_name().await?;
    println!("More!");
    let mut buffer = [0; 100];
    let mut count = 0;
    while count < MANY {
        let read = time::timeout(PATIENCE, console::read(&mut buffer)).await;
        let Ok(read) = read else { return guests::fail("not all of it comes") };
        for byte in buffer.iter().take(read) {
            let digit = b'0' + (count % 10) as u8;
            guests::check(*byte == digit, "something else was typed")?;
            count += 1;
        }
        // Slower than it is typed.
        time::sleep(Duration::from_millis(5)).await;
    }
    guests::pass()
}
