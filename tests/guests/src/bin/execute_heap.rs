//! The heap cannot be executed.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: a page that is not executable
//@ report: direct map of RAM
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::alloc::boxed::Box;

#[mayfly::main]
async fn main() -> mayfly::Result {
    let block = Box::new([0u8; 64]);
    guests::violate::execute(block.as_ptr().addr())
}
