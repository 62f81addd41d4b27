//! A fault under a chain of frames that leads into a page which nothing is mapped to is reported to
//! the end: the backtrace says who called whom up to there.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: hit the NULL page
//@ report: violate::write
//@ report: frame_chain_broken::victim
//@ report: #0 main: running
//@ report: end of report
#![no_std]
#![no_main]

use guests::violate::{NOWHERE, ruin_frame_pointer, write};

unsafe extern "C" {
    /// Of the linker scripts: where the page starts that guards the stack of reports. It lies above the
    /// main stack, as the next frame should.
    static __fault_stack_guard: u8;
}

#[mayfly::main]
async fn main() -> mayfly::Result {
    victim();
    guests::fail("the fault went unnoticed")
}

#[inline(never)]
fn victim() {
    ruin_frame_pointer((&raw const __fault_stack_guard).addr());
    let _ = write(NOWHERE);
}
