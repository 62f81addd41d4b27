//! A crash ends at once with its status.
//@ machine: qemu hyp-gic2 hyp-gic3 xen
//@ status: 7
//@ shutdown: crash
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::power::{self, ExitStatus};

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::pass()?;
    power::crash(ExitStatus(7))
}
