//! There is randomness, with all sources that a machine has.
//@ machine: qemu hyp-gic2 hyp-gic3
//@ cpu: default max
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::random::check().await
}
