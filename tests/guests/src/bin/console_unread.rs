//! Of two consoles the first is not read: the other shows all, nobody waits, and the first goes on
//! with a note of what it has missed. Only a serial port of x86 can be left unread: QEMU waits with
//! the others, or drops what nobody takes.
//@ machine: microvm q35 pc
//@ type: unread
//@ report: bytes of output dropped]
//@ report: all is shown
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{Result, console, println, time};

/// More than the pipe behind the console keeps, and 4 KiB here, in blocks that fit these.
const BLOCKS: usize = 60;
const LINES: usize = 30;

#[mayfly::main]
async fn main() -> Result {
    guests::typed::check_name().await?;
    for block in 0..BLOCKS {
        for line in 0..LINES {
            println!("block {block}, line {line}: what nobody reads at the first console");
        }
        next().await?;
    }
    guests::check(console::dropped() > 0, "both consoles have shown everything")?;
    println!("all is shown");
    next().await?;
    guests::pass()
}

/// Waits until who reads the other console has seen all so far, and types something.
async fn next() -> Result {
    let mut key = [0];
    let typed = time::timeout(guests::typed::PATIENCE, console::read(&mut key)).await;
    guests::check(typed.is_ok(), "nobody reads the other console")
}
