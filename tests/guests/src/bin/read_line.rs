//! A line that is typed at the serial port arrives, as it was corrected.
//@ machine: qemu
//@ type: serial
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::typed::check_name().await?;
    guests::pass()
}
