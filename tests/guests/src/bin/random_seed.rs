//! A seed in the device tree alone is enough.
//@ arch: aarch64 armv7
//@ machine: qemu
//@ randomness: seed
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::random::check().await
}
