//! An interrupt handler that frees memory dies.
//@ machine: microvm gic3 xen
//@ disk: 1M
//@ dies: 101
//@ report: panic: memory allocated or freed in an interrupt handler
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{Machine, alloc::vec::Vec};
use mayfly_arch::{IrqLock, in_interrupt};
use mayfly_device::InterruptHandler;

/// What is freed, when an interrupt has come.
static BLOCK: IrqLock<Vec<u8>> = IrqLock::new(Vec::new());

struct Frees;

impl InterruptHandler for Frees {
    fn interrupt(&self) {
        if in_interrupt() {
            BLOCK.with(|block| *block = Vec::new());
        }
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    let block = Vec::with_capacity(100);
    BLOCK.with(|place| *place = block);
    guests::interrupts::take(&machine, &Frees).await?;
    guests::fail("that memory was freed went unnoticed")
}
