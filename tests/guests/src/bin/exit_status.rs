//! The status that the app chooses arrives outside.
//@ status: 42
//@ machine: qemu hyp-gic2 hyp-gic3 xen
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::power::{self, ExitStatus};

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::pass()?;
    power::off(ExitStatus(42))
}
