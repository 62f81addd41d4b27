//! A device of each kind works: network, disk, entropy, console, with virtio as it is and, by MMIO, as
//! it was before version 1.0; on microvm found on the command line and in ACPI tables.
//@ machine: qemu legacy acpi
//@ smp: 4
//@ disk: 1M
//@ randomness: device
//@ type: virtio
//@ report: Who is there?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::{check, typed};
use mayfly::{
    Machine, Result,
    alloc::{vec, vec::Vec},
    random,
};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    random::ready().await?;
    check(random::is_seeded(), "there is no entropy")?;
    // It has an address, so frames have gone both ways.
    let _network = machine.network().await?;
    disk(&machine).await?;
    typed::check_name().await?;
    guests::pass()
}

/// Writes all of the disk, and reads it again.
async fn disk(machine: &Machine) -> Result {
    let disk = machine.disk(0).await?;
    check(disk.size() == 1 << 20, "the disk has the wrong size")?;
    let text: Vec<u8> = (0..disk.size()).map(|offset| (offset % 251) as u8).collect();
    disk.write(0, &text).await?;
    disk.flush().await?;
    let mut read = vec![0; text.len()];
    disk.read(0, &mut read).await?;
    check(read == text, "what was read is not what was written")
}
