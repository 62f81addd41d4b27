//! A fault in an interrupt handler is reported as any other, but for the tasks, which are not looked
//! at.
//@ machine: microvm gic3 xen
//@ disk: 1M
//@ dies: 102
//@ report: hit the NULL page
//@ report: violate::write
//@ report: kernel/src/interrupts.rs
//@ report: end of report
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::violate::{NOWHERE, write};
use mayfly::Machine;
use mayfly_arch::in_interrupt;
use mayfly_device::InterruptHandler;

struct Faults;

impl InterruptHandler for Faults {
    fn interrupt(&self) {
        if in_interrupt() {
            let _ = write(NOWHERE);
        }
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    guests::interrupts::take(&machine, &Faults).await?;
    guests::fail("the fault went unnoticed")
}
