//! Page tables cannot be written once they are sealed.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: mayfly: fault: write to
//@ report: page tables, which are sealed
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::write(mayfly_arch::mmu::table_window())
}
