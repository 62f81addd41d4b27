//! A fault while the overflow of the stack is reported ends the report with one line, though nothing
//! is left of the stack.
//@ machine: microvm gic3 xen
//@ dies: 126
//@ report: guard page of the main stack: stack overflow
//@ report: mayfly: fault in the fault report:
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{future::pending, hint::black_box};

#[mayfly::main]
async fn main() -> mayfly::Result {
    let name = guests::violate::unreadable_text();
    mayfly::spawn_named(name, pending::<()>()).detach();
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
