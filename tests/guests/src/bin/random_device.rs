//! An entropy device alone is enough. The default processors have no random numbers.
//@ machine: qemu
//@ randomness: device
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::random::check().await
}
