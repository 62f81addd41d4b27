//! A task that prints without a pause does not lose a line while the console takes them.
//@ report: line 2999 of a flood
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::console;

#[mayfly::main]
async fn main() -> mayfly::Result {
    for number in 0..3000 {
        mayfly::println!("line {number} of a flood");
    }
    guests::check(console::dropped() == 0, "text was dropped")?;
    guests::pass()
}
