//! The processor's own random numbers (RDRAND, RNDR) alone are enough.
//@ arch: x86_64 aarch64
//@ machine: qemu
//@ cpu: max
//@ randomness: none
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::random::check().await
}
