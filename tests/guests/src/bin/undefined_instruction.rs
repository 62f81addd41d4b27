//! An instruction that does not exist dies, and the report has its place.
//@ machine: qemu xen
//@ dies: 102
//@ report: instruction
//@ report: registers:
//@ report: violate::undefined
//@ report: tests/guests/src/violate.rs:
//@ report: end of report
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::undefined()
}
