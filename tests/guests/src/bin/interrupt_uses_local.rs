//! An interrupt handler that uses the state of tasks dies.
//@ machine: microvm gic3 xen
//@ disk: 1M
//@ dies: 101
//@ report: panic: per-vCPU state used in an interrupt handler
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::cell::Cell;

use mayfly::Machine;
use mayfly_device::InterruptHandler;

mayfly_arch::local! {
    static COUNT: Cell<u32> = Cell::new(0);
}

struct Counts;

impl InterruptHandler for Counts {
    fn interrupt(&self) {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    guests::interrupts::take(&machine, &Counts).await?;
    guests::fail("the use of a task's state went unnoticed")
}
