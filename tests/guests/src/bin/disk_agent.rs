//! Does with its disks what dom0 asks for ([`guests::agent`]).
//!
//! ```text
//! info DISK          size, sector size, and which of: read-only removable discard
//! hash DISK          SHA-256 of the disk
//! pattern DISK SEED  SHA-256 of what `fill` would write
//! fill DISK SEED     writes a pattern and flushes; SHA-256 of the pattern
//! load DISK SEED     as `fill`, again and again until `stop`, with the next seed each time, and
//!                    reads each again; an answer at once
//! stop               the last seed of each load, when all is written
//! discard DISK START LENGTH  says that so many bytes are not needed any more
//! attached           waits for a disk that is attached; its size
//! gone DISK          reads it until that fails; the error
//! refused DISK       tries to write; the error
//! speed DISK OP SIZE TOTAL  reads or writes so many bytes, SIZE at a time; in microseconds
//! quit
//! ```
//@ machine: lab
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::cell::Cell;

use guests::sha256::Sha256;
use mayfly::{
    JoinHandle, Machine, Result,
    alloc::{
        format,
        rc::Rc,
        string::{String, ToString},
        vec,
        vec::Vec,
    },
    block::Disk,
    println,
    time::Instant,
};

/// Bytes of a piece that a task writes.
const PIECE: usize = 192 << 10;

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let machine = Rc::new(machine);
    let (loads, stop) = (Vec::new(), Rc::default());
    let mut agent = Agent { machine: Rc::clone(&machine), loads, stop };
    machine_is_ready(&machine).await?;
    guests::agent::obey(&machine, async |command| agent.answer(command).await).await?;
    guests::pass()
}

/// All disks that are there at the beginning are connected.
async fn machine_is_ready(machine: &Machine) -> Result {
    for index in 0..machine.disks().await {
        machine.disk(index).await?;
    }
    Ok(())
}

struct Agent {
    machine: Rc<Machine>,
    loads: Vec<JoinHandle<Result<u32>>>,
    stop: Rc<Cell<bool>>,
}

impl Agent {
    /// The answer to a command, but to the last.
    async fn answer(&mut self, command: &str) -> Option<String> {
        if command == "quit" {
            return None;
        }
        println!("{command}");
        let answer = match self.obey(command).await {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        };
        println!("{answer}");
        Some(answer)
    }

    async fn obey(&mut self, command: &str) -> Result<String> {
        let words: Vec<&str> = command.split(' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse().ok());
        let disk = self.machine.disk(number(1).unwrap_or(0)).await;
        let seed = number(2).unwrap_or(0) as u32;
        Ok(match words[0] {
            "info" => info(&disk?),
            "hash" => text(hash(&disk?).await?),
            "pattern" => text(hash_of_pattern(&disk?, seed)),
            "fill" => {
                let disk = disk?;
                fill(&disk, seed).await?;
                text(hash_of_pattern(&disk, seed))
            }
            "discard" => {
                let (start, length) = (number(2).unwrap_or(0), number(3).unwrap_or(0));
                disk?.discard(start as u64, length as u64).await?;
                "discarded".into()
            }
            "load" => {
                let (disk, stop) = (disk?, Rc::clone(&self.stop));
                stop.set(false);
                self.loads.push(mayfly::spawn(async move { load(disk, seed, stop).await }));
                "begun".into()
            }
            "stop" => {
                self.stop.set(true);
                let mut seeds = Vec::new();
                for load in self.loads.drain(..) {
                    seeds.push(load.await??.to_string());
                }
                seeds.join(" ")
            }
            "attached" => self.machine.attached_disk().await?.size().to_string(),
            "gone" => {
                let (disk, mut sector) = (disk?, vec![0; 4096]);
                loop {
                    if let Err(error) = disk.read(0, &mut sector).await {
                        break error.to_string();
                    }
                }
            }
            "refused" => match disk?.write(0, &[0; 4096]).await {
                Ok(()) => "it is written".into(),
                Err(error) => error.to_string(),
            },
            "speed" => {
                let is_read = words.get(2) == Some(&"read");
                let (size, total) = (number(3).unwrap_or(4096), number(4).unwrap_or(0));
                speed(&disk?, is_read, size, total).await?.to_string()
            }
            _ => "what?".into(),
        })
    }
}

fn info(disk: &Disk) -> String {
    let mut text = format!("{} {}", disk.size(), disk.sector_size());
    for (is_so, word) in [
        (disk.is_read_only(), " read-only"),
        (disk.is_removable(), " removable"),
        (disk.can_discard(), " discard"),
    ] {
        text += if is_so { word } else { "" };
    }
    text
}

fn text(hash: [u32; 8]) -> String {
    hash.iter().map(|word| format!("{word:08x}")).collect()
}

async fn hash(disk: &Disk) -> Result<[u32; 8]> {
    let mut hash = Sha256::default();
    let mut piece = vec![0; PIECE];
    let mut offset = 0;
    while offset < disk.size() {
        let size = (disk.size() - offset).min(PIECE as u64) as usize;
        disk.read(offset, &mut piece[..size]).await?;
        hash.add(&piece[..size]);
        offset += size as u64;
    }
    Ok(hash.finish())
}

/// What a disk has at `offset` when it is filled with a seed.
fn pattern(seed: u32, offset: u64, size: usize) -> Vec<u8> {
    let words =
        (offset / 4..).map(|word| (word as u32 ^ seed.rotate_left(16)).wrapping_mul(0x9e37_79b1));
    words.take(size / 4).flat_map(u32::to_le_bytes).collect()
}

fn pieces(disk: &Disk) -> impl Iterator<Item = (u64, usize)> + use<> {
    let size = disk.size();
    let offsets = (0..size).step_by(PIECE);
    offsets.map(move |offset| (offset, (size - offset).min(PIECE as u64) as usize))
}

fn hash_of_pattern(disk: &Disk, seed: u32) -> [u32; 8] {
    let mut hash = Sha256::default();
    pieces(disk).for_each(|(offset, size)| hash.add(&pattern(seed, offset, size)));
    hash.finish()
}

/// Writes the pattern, by a task for each piece.
async fn fill(disk: &Disk, seed: u32) -> Result {
    let tasks: Vec<_> = pieces(disk)
        .map(|(offset, size)| {
            let disk = disk.clone();
            mayfly::spawn(async move { disk.write(offset, &pattern(seed, offset, size)).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(disk.flush().await?)
}

/// Whether the disk has the pattern, read by a task for each piece.
async fn has(disk: &Disk, seed: u32) -> Result<bool> {
    let tasks: Vec<_> = pieces(disk)
        .map(|(offset, size)| {
            let disk = disk.clone();
            mayfly::spawn(async move {
                let mut piece = vec![0; size];
                disk.read(offset, &mut piece).await?;
                Ok::<_, mayfly::Error>(piece == pattern(seed, offset, size))
            })
        })
        .collect();
    let mut is_so = true;
    for task in tasks {
        is_so &= task.await??;
    }
    Ok(is_so)
}

async fn load(disk: Disk, first: u32, stop: Rc<Cell<bool>>) -> Result<u32> {
    let mut seed = first;
    loop {
        fill(&disk, seed).await?;
        if !has(&disk, seed).await? {
            println!("the disk has not what was written to it");
            return Err("the disk has not what was written to it".into());
        }
        if stop.get() {
            return Ok(seed);
        }
        seed += 1;
    }
}

async fn speed(disk: &Disk, is_read: bool, size: usize, total: usize) -> Result<u128> {
    let mut data = vec![0x5a; size];
    let start = Instant::now();
    for number in 0..total / size {
        let offset = (number * size) as u64 % disk.size();
        if is_read {
            disk.read(offset, &mut data).await?;
        } else {
            disk.write(offset, &data).await?;
        }
    }
    Ok(start.elapsed().as_micros())
}
