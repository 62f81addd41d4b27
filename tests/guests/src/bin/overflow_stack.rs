//! A stack that overflows hits its guard page, and the report says so.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: guard page of the main stack: stack overflow
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

#[mayfly::main]
async fn main() -> mayfly::Result {
    black_box(descend(1));
    guests::fail("the overflow went unnoticed")
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let local = black_box([depth; 32]);
    if black_box(depth) == u64::MAX {
        return depth;
    }
    descend(depth + 1) + local[black_box(3)]
}
