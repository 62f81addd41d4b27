//! Constants cannot be written.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: constants of the image, which are read-only
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

static CONSTANT: [u32; 4] = [1, 2, 3, 4];

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::write((&raw const CONSTANT).addr())
}
