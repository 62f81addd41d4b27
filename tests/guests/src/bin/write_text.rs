//! Code cannot be written.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: code of the image, which is read-only
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

fn victim() {}

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::write(victim as *const () as usize)
}
