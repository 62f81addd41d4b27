//! Memory that the allocator never gave is freed: its tables are not to be trusted after that, so that
//! the guest ends, even if it has chosen to survive panics, and the report does not look at them.
//@ dies: 101
//@ report: was freed but is not memory of the frame allocator
//@ report: memory: unknown
//@ report: end of report
//@ machine: qemu xen
#![no_std]
#![no_main]

use core::alloc::Layout;

use mayfly::{
    Result,
    alloc::{alloc::dealloc, vec},
    executor::survive_panics,
};

#[repr(align(4096))]
struct Pages([u8; 0x4000]);

static PAGES: Pages = Pages([1; 0x4000]);

#[mayfly::main]
async fn main() -> Result {
    survive_panics(true);
    // More than what is freed, or that would be noticed earlier.
    let _large = vec![1_u8; 0x10000];
    let layout = Layout::new::<Pages>();
    let pages = core::hint::black_box(&raw const PAGES.0);
    // SAFETY: none, on purpose: this was never allocated. Nothing is written to it, as it is not found.
    unsafe { dealloc(pages.cast_mut().cast(), layout) };
    Ok(())
}
