//! A stack frame that is much larger than a page does not step over the guard of the stack.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: guard page of the main stack: stack overflow
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{hint::black_box, mem::MaybeUninit};

/// Nearly as large as a frame may be where there are no stack probes.
const SIZE: usize = 60_000;

#[mayfly::main]
async fn main() -> mayfly::Result {
    black_box(descend(1));
    guests::fail("the overflow went unnoticed")
}

/// Uses only the far end of its frame.
#[inline(never)]
fn descend(depth: u8) -> u8 {
    let mut local = [const { MaybeUninit::<u8>::uninit() }; SIZE];
    let far = black_box(&mut local[0]).write(depth);
    if black_box(depth) == u8::MAX {
        return depth;
    }
    descend(depth + 1) ^ *far
}
