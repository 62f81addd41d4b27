//! A line that is typed at a console of virtio arrives, as it was corrected.
//@ machine: qemu
//@ type: virtio
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::typed::check_name().await?;
    guests::pass()
}
