//! Constants cannot be executed.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: constants of the image
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

static CONSTANT: [u32; 4] = [1, 2, 3, 4];

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::execute((&raw const CONSTANT).addr())
}
