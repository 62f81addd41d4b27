//! A reboot ends the run, which does not start the machine again.
//@ machine: qemu hyp-gic2 hyp-gic3 xen
//@ shutdown: reboot

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::power;

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::pass()?;
    power::reboot()
}
