//! Prints a line and ends.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() {
    mayfly::println!("Hello from Mayfly.");
}
