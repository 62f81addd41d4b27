//! What an interrupt handler keeps on the stack is aligned as its type asks for.
//@ machine: microvm gic3 xen
//@ disk: 1M
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};

use mayfly::{Machine, Result};
use mayfly_arch::in_interrupt;
use mayfly_device::InterruptHandler;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static MISALIGNED: AtomicUsize = AtomicUsize::new(0);

/// As much as the calling convention of x86-64 promises of the stack (System V ABI, 3.2.2), so that
/// the compiler does not see to it by itself.
#[repr(align(16))]
struct Aligned(#[expect(dead_code, reason = "only its address matters")] u8);

struct Look;

impl InterruptHandler for Look {
    fn interrupt(&self) {
        if !in_interrupt() {
            return;
        }
        let local = black_box(Aligned(0));
        // Of the address as a number, the compiler does not know what it is a multiple of.
        let address = black_box((&raw const local).addr());
        CALLS.fetch_add(1, Ordering::Relaxed);
        MISALIGNED.fetch_or(address % align_of::<Aligned>(), Ordering::Relaxed);
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    guests::interrupts::take(&machine, &Look).await?;
    guests::check(CALLS.load(Ordering::Relaxed) > 0, "the handler was not called")?;
    guests::check(MISALIGNED.load(Ordering::Relaxed) == 0, "the handler's stack is misaligned")?;
    guests::pass()
}
