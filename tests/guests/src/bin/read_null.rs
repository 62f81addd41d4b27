//! A read near a null pointer dies.
//@ machine: microvm gic3 hyp-gic3 xen
//@ dies: 102
//@ report: mayfly: fault: read
//@ report: NULL page
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::read(0x10)
}
