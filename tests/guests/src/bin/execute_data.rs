//! Variables cannot be executed.
//@ machine: microvm gic3 hyp-gic3 xen
//@ dies: 102
//@ report: a page that is not executable
//@ report: variables of the image, which are not executable
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::sync::atomic::AtomicU32;

static VARIABLE: AtomicU32 = AtomicU32::new(7);

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::execute(VARIABLE.as_ptr().addr())
}
