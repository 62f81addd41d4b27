//! A processor without something that Mayfly needs: the guest says so, and ends.
//@ arch: x86_64
//@ machine: microvm pc
//@ cpu: qemu64,-nx qemu64,-lm qemu64,-tsc qemu64,-pae
//@ dies: 1
//@ report: mayfly: this processor has no
//@ report: choose a 64-bit CPU model that has it
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::fail("it has booted nevertheless")
}
