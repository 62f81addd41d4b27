//! A fault while a panic is reported ends with one line.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: another fault while the report was written
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::fmt;

/// Faults when it is printed.
struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        guests::violate::write(0x10).map_err(|_| fmt::Error)
    }
}

#[mayfly::main]
async fn main() -> mayfly::Result {
    panic!("{}", Nested)
}
