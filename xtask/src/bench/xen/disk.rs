//! What both guests are asked to do with a disk: a file in dom0's memory, behind a loop device and
//! blkback. Linux reads and writes it past its cache (`O_DIRECT`).

use anyhow::{Context, Result};

use super::Comparison;
use super::guests::{Guests, MAYFLY_ADDRESS};
use crate::lab::LINUX_ADDRESS;
use crate::ui;
use crate::xl_cfg::Config;

/// Size of each disk, in MiB.
const SIZE: u64 = 16;

/// Where the disks are. The root of dom0 may only take so much of its memory.
const PLACE: &str = "/run/disks";

/// Blocks that are moved in one order, of one size, so many at a time.
struct Task {
    name: &'static str,
    way: &'static str,
    block: u32,
    depth: u32,
    count: u32,
}

const TASKS: [Task; 6] = [
    sequential("disk, reading in order", "read sequential"),
    sequential("disk, writing in order", "write sequential"),
    random("disk, random 4 KiB read", "read random", 1),
    random("disk, random 4 KiB written", "write random", 1),
    random("disk, the same, 16 reads at once", "read random", 16),
    random("disk, the same, 16 writes at once", "write random", 16),
];

const fn sequential(name: &'static str, way: &'static str) -> Task {
    Task { name, way, block: 1 << 20, depth: 1, count: 96 }
}

const fn random(name: &'static str, way: &'static str, depth: u32) -> Task {
    Task { name, way, block: 4096, depth, count: 2000 }
}

/// Has both guests do everything so often, in turns.
pub fn compare(guests: &mut Guests, rounds: u32, found: &mut Vec<Comparison>) -> Result<()> {
    guests.session.succeed(&format!("mkdir -p {PLACE}; mount -t tmpfs tmpfs {PLACE}"))?;
    let mut disk = |name: &str| -> Result<Vec<String>> {
        let file = format!("{PLACE}/{name}.img");
        guests.session.succeed(&format!("head -c {} /dev/zero >{file}", SIZE << 20))?;
        Ok(vec![file])
    };
    let (our_disk, their_disk) = (disk("mayfly")?, disk("linux")?);
    let mayfly =
        Config { disks: our_disk, ..guests.mayfly("tests/bulk", Some("disk-load"), None)? };
    let mayfly = guests.start(&mayfly, MAYFLY_ADDRESS)?;
    let linux = guests.linux(their_disk);
    let linux = guests.start(&linux, LINUX_ADDRESS)?;
    for task in &TASKS {
        ui::progress("Measuring", format_args!("{} on {}", task.name, guests.arch));
        let Task { name, way, block, depth, count } = task;
        let mut rate = |address: &str| -> Result<f64> {
            guests.rate(&format!("disk {address} {way} {block} {depth} {count}"))
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(rate(MAYFLY_ADDRESS).context("Mayfly")?);
            theirs.push(rate(LINUX_ADDRESS).context("Linux")?);
        }
        found.push(Comparison {
            arch: guests.arch,
            name: (*name).to_owned(),
            unit: "bytes/s",
            is_time: false,
            mayfly: ours,
            linux: theirs,
        });
    }
    mayfly.destroy(&mut guests.session)?;
    linux.destroy(&mut guests.session)
}
