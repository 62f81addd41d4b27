//! A panic while a panic is reported ends with one line.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: another fault while the report was written
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::fmt;

/// Panics when it is printed.
struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("second panic")
    }
}

#[mayfly::main]
async fn main() -> mayfly::Result {
    panic!("{}", Nested)
}
