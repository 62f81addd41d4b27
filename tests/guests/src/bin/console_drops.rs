//! A task that prints more than anybody takes does not wait for the console, which says how much it has
//! dropped.
//@ machine: xen
//@ report: bytes of output dropped]
//@ report: the last line
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::check;
use mayfly::{console, time::sleep};

/// Much more than the ring and the buffer hold, and than xenconsoled takes meanwhile.
const LINES: usize = 20_000;
/// The least part of it that is dropped then: had it waited, that would be nothing.
const PART: u64 = 8;

#[mayfly::main]
async fn main() -> mayfly::Result {
    let mut printed = 0;
    for number in 0..LINES {
        let text = "and so on, and so forth, without an end in sight";
        mayfly::println!("line {number} of a flood: {text}");
        printed += text.len() as u64;
    }
    let dropped = console::dropped();
    check(dropped > printed / PART, "it has waited for who takes it, or does not count")?;
    check(dropped < 2 * printed, "it counts too much")?;
    // Who takes it comes to the end.
    sleep(Duration::from_secs(3)).await;
    let before = console::dropped();
    mayfly::println!("the last line");
    check(console::dropped() == before, "text is dropped although there is room")?;
    guests::pass()
}
