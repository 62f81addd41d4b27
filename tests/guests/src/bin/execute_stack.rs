//! The stack cannot be executed.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: main stack, which is not executable
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    on_the_stack()
}

/// What `main` keeps over an await is on the heap; the variables of a plain function are not.
#[inline(never)]
fn on_the_stack() -> mayfly::Result {
    let block = core::hint::black_box([0u8; 64]);
    guests::violate::execute(block.as_ptr().addr())
}
