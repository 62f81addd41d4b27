//! An interrupt handler that allocates dies, with one report that leads from it to what it
//! interrupted.
//@ machine: microvm gic3 xen
//@ disk: 1M
//@ dies: 101
//@ report: panic: memory allocated in an interrupt handler
//@ report: interrupt_allocates::allocate
//@ report: kernel/src/interrupts.rs
//@ report: kernel/src/executor
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use mayfly::{Machine, alloc::boxed::Box};
use mayfly_device::InterruptHandler;

struct Allocates;

impl InterruptHandler for Allocates {
    fn interrupt(&self) {
        allocate();
        black_box(());
    }
}

#[inline(never)]
fn allocate() {
    drop(black_box(Box::new(7)));
    black_box(());
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    guests::interrupts::take(&machine, &Allocates).await?;
    guests::fail("the allocation went unnoticed")
}
