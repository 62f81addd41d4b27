//! A mapping that is asked for after the seal is an error, not a fault.
//@ machine: microvm gic3 xen

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly_arch::{
    PhysAddr, PhysRange,
    mmu::{self, MapError},
};

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::check(mmu::is_sealed(), "the page tables are not sealed")?;
    let page = PhysRange::between(PhysAddr(0x1000_0000), PhysAddr(0x1000_1000));
    match mmu::map_device(page) {
        Err(MapError::Sealed) => guests::pass(),
        _ => guests::fail("map_device worked after the seal"),
    }
}
