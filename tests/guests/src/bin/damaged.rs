//! What boots here was told nonsense by its loader, and should have said so.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::fail("it boots")
}
