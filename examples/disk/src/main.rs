//! Counts on a disk how often it was booted.
//!
//! `truncate -s 1M /tmp/count.img`, then `cargo xtask run disk --disk /tmp/count.img` as often as
//! you like. The tutorial page is `docs/guide/disk.md`.
//!
//! The count must survive a power failure in the middle of a write. So there are two records, in
//! the first two sectors, and the older one is written: the newer one is still there when that
//! goes wrong. `record` knows what a record looks like.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

mod checksum;
mod record;

use alloc::vec;

use checksum::crc32;
use mayfly::{
    BootArguments, Machine,
    block::{Disk, Error},
    println,
};
use record::Record;

/// Bytes that are read at a time for a checksum: a whole number of sectors of any disk.
const PIECE: u64 = 64 * 1024;

#[derive(BootArguments)]
struct Arguments {
    /// Start to count, even if there is something else on the disk.
    format: bool,
    /// Print the CRC-32 of the first so many bytes, before anything is written.
    checksum: Option<u64>,
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let arguments: Arguments = machine.arguments()?;
    let disk = machine.disk(0).await?;
    println!("The disk has {} sectors of {} bytes.", sectors(&disk), disk.sector_size());
    if let Some(length) = arguments.checksum {
        let sum = checksum(&disk, length).await?;
        println!("The CRC-32 of its first {length} bytes is {sum:08x}.");
    }

    let count = count(&disk, arguments.format).await?;
    println!("It has been booted {count} times.");
    Ok(())
}

fn sectors(disk: &Disk) -> u64 {
    disk.size() / disk.sector_size() as u64
}

/// Adds one to the count on the disk, and returns it.
async fn count(disk: &Disk, format: bool) -> mayfly::Result<u64> {
    let sector_size = disk.sector_size();
    let mut both = vec![0; 2 * sector_size];
    disk.read(0, &mut both).await?;
    let (first, second) = both.split_at(sector_size);

    let (slot, last) = match (Record::parse(first), Record::parse(second)) {
        // Write where the older one is, or none.
        (Some(first), Some(second)) if first.count < second.count => (0, second),
        (Some(first), _) => (1, first),
        (None, Some(second)) => (0, second),
        (None, None) if format || both.iter().all(|byte| *byte == 0) => (0, Record::default()),
        (None, None) => {
            return Err("there is something on this disk; `format` overwrites its start".into());
        }
    };
    let next = Record { count: last.count.saturating_add(1) };

    let mut sector = vec![0; sector_size];
    next.write(&mut sector);
    disk.write(slot * sector_size as u64, &sector).await?;
    // Until here, the disk may have kept it in memory.
    disk.flush().await?;
    Ok(next.count)
}

/// The CRC-32 of the first `length` bytes of the disk.
async fn checksum(disk: &Disk, length: u64) -> mayfly::Result<u32> {
    let size = disk.size();
    if length > size {
        return Err(Error::OutOfRange { size }.into());
    }
    let end = length.next_multiple_of(disk.sector_size() as u64);
    let mut buffer = vec![0; PIECE as usize];
    let (mut offset, mut sum) = (0, 0);
    while offset < length {
        let count = PIECE.min(end - offset) as usize;
        let piece = buffer.get_mut(..count).unwrap_or_default();
        disk.read(offset, piece).await?;
        let wanted = PIECE.min(length - offset) as usize;
        sum = crc32(sum, piece.get(..wanted).unwrap_or_default());
        offset += PIECE;
    }
    Ok(sum)
}
