//! Two disks, on every machine: what is written is read again, by many tasks at once, and what is
//! not allowed is refused.
//@ disk: 4M
//@ disk: 1M
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{vec, vec::Vec};
use core::ops::Range;

use mayfly::{
    Machine, Result,
    block::{Disk, Error},
};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    guests::check(machine.disks().await == 2, "there are not two disks")?;
    for (index, size) in [4 << 20, 1 << 20].into_iter().enumerate() {
        let disk = machine.disk(index).await?;
        guests::check(disk.size() == size, "a disk has the wrong size, or the wrong number")?;
        whole_disk(&disk).await?;
        many_tasks(&disk).await?;
        refusals(&disk).await?;
        discards(&disk).await?;
    }
    guests::pass()
}

/// The byte at `offset` of the pattern that the disk is filled with.
fn pattern(offset: usize) -> u8 {
    ((offset as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8
}

async fn whole_disk(disk: &Disk) -> Result {
    let text: Vec<u8> = (0..disk.size() as usize).map(pattern).collect();
    disk.write(0, &text).await?;
    disk.flush().await?;
    let mut read = vec![0; text.len()];
    disk.read(0, &mut read).await?;
    guests::check(read == text, "what was read is not what was written")
}

async fn many_tasks(disk: &Disk) -> Result {
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let disk = disk.clone();
            mayfly::spawn(async move {
                let sectors = disk.size() as usize / disk.sector_size();
                let offset = number * 7919 % sectors * disk.sector_size();
                let mut sector = vec![0; disk.sector_size()];
                let result = disk.read(offset as u64, &mut sector).await;
                result.is_ok() && (0..).zip(&sector).all(|(at, byte)| *byte == pattern(offset + at))
            })
        })
        .collect();
    for task in tasks {
        guests::check(task.await == Ok(true), "a task read something else")?;
    }
    Ok(())
}

async fn refusals(disk: &Disk) -> Result {
    let mut sector = vec![0; disk.sector_size()];
    let beyond = disk.read(disk.size(), &mut sector).await;
    guests::check(beyond == Err(Error::OutOfRange { size: disk.size() }), "beyond the end")?;
    let misaligned = disk.write(1, &sector).await;
    guests::check(matches!(misaligned, Err(Error::Misaligned { .. })), "misaligned")
}

/// What is discarded reads as zeroes, as QEMU makes a hole in the file, and all else is as it was.
async fn discards(disk: &Disk) -> Result {
    const HOLE: Range<usize> = 65_536..196_608;
    disk.discard(HOLE.start as u64, HOLE.len() as u64).await?;
    let mut read = vec![0; disk.size() as usize];
    disk.read(0, &mut read).await?;
    let expected = |at| if HOLE.contains(&at) { 0 } else { pattern(at) };
    let is_right = (0..).zip(&read).all(|(at, byte)| *byte == expected(at));
    guests::check(is_right, "another part than that which was discarded has changed, or none has")
}
