//! Code cannot be written where the rest of memory is mapped either.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: mayfly: fault: write to
//@ report: direct map of RAM
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly_arch::mmu;

fn victim() {}

#[mayfly::main]
async fn main() -> mayfly::Result {
    match mmu::virt_to_phys(victim as *const u8) {
        Some(frame) => guests::violate::write(mmu::phys_to_virt(frame).addr().get()),
        None => guests::fail("the code is nowhere"),
    }
}
