//! An app that cannot go on without memory ends with a report that says who asked, and how much was
//! left.
//@ machine: microvm gic3 xen
//@ dies: 101
//@ report: panic: memory allocation of 1073741824 bytes failed
//@ report: out_of_memory::hoard
//@ report: last failed allocation: no memory for the heap: 1073741824 bytes asked for,
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use mayfly::alloc::vec::Vec;

#[inline(never)]
fn hoard() -> Vec<u8> {
    Vec::with_capacity(black_box(1 << 30))
}

#[mayfly::main]
async fn main() -> mayfly::Result {
    black_box(hoard());
    guests::fail("there was more memory than there is")
}
