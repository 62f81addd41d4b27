//! Code cannot be written.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: mayfly: fault: write to a read-only page
//@ report: code of the image, which is read-only
//@ report: registers:
//@ report: guests::violate::write+
//@ report: tests/guests/src/violate.rs:
//@ report: end of report
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

fn victim() {}

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::write(victim as *const () as usize)
}
