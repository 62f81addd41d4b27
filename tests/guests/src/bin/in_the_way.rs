//! What the loader has left arrives, wherever `xtask/src/test/in_the_way` has moved it: a boot
//! argument, and the initrd, unless that is told to be lost.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{BootArguments, Machine, Result, alloc::string::String};

#[derive(BootArguments)]
struct Arguments {
    /// A word to be seen.
    word: String,
    /// Whether the initrd cannot be had.
    lost: bool,
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let arguments: Arguments = machine.arguments()?;
    check(arguments.word == "seen", "the boot argument is another one")?;
    match machine.initrd() {
        Some(_) if arguments.lost => return guests::fail("the initrd is there after all"),
        Some(initrd) => {
            check(initrd.len() == 5000, "the initrd has another length")?;
            check(guests::is_initrd(initrd), "the initrd has other content")?;
        }
        None => check(arguments.lost, "there is no initrd")?,
    }
    guests::pass()
}
