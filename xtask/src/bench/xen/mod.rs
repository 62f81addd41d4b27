//! `bench xen`: how guests of Xen boot and serve, of Mayfly and of a Linux, side by side.
//!
//! Both are guests of the lab's Xen at the same time, with the same back ends, and what asks them is
//! `tests/meter` in dom0. They are asked in turns, so that what disturbs one disturbs the other, and
//! the ratio of the two means something where the figures do not. On a busy machine a round trip takes
//! many times as long as on a quiet one, mostly because QEMU has no processor; Linux tells how long
//! that was (`/proc/PID/task/TID/schedstat`), and it is not counted.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::linux::median;
use super::table::{self, Figure};
use crate::arch::{Arch, ArchChoice};
use crate::ui;

mod boot;
mod disk;
mod guests;
mod memory;
mod tasks;

use guests::Guests;

/// Compares guests of the lab's Xen with a Debian Linux guest: boot, network, disk.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench xen
  cargo xtask bench xen --arch aarch64 --only boot --rounds 9 --json

The Linux guest is Debian's cloud kernel, whose package is fetched but not installed, with
tests/linux-server as its only process. Each figure is the median of the rounds; only the ratio is
to be quoted: how many times as fast Mayfly is. The time that QEMU waits for a processor of this
machine is not counted.")]
pub struct Options {
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: ArchChoice,
    /// Measures only this; may be repeated.
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// How often each guest does each task.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds for each task that takes a given time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Figures that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Times from `xl create`, and from the guest's entry, to the first answers.
    Boot,
    /// Bytes and requests a second.
    Network,
    /// Bytes a second that are read from a disk and written to it.
    Disk,
    /// The least memory with which Mayfly serves.
    Memory,
}

/// What came out for one task, in the order of the rounds.
struct Comparison {
    arch: Arch,
    name: String,
    unit: &'static str,
    /// Whether less is better.
    is_time: bool,
    mayfly: Vec<f64>,
    linux: Vec<f64>,
}

impl Options {
    /// Measures, and prints.
    pub fn execute(&self) -> Result<()> {
        let (mut found, mut memory) = (Vec::new(), Vec::new());
        // What was measured before something fails took minutes, and is printed all the same.
        let measured = self.arch.list().iter().try_for_each(|&arch| {
            let measured = self.compare(arch, &mut found, &mut memory);
            measured.with_context(|| format!("cannot measure on {arch}"))
        });
        if self.json {
            let found = found.iter().map(Comparison::to_json);
            println!("{}", found.chain(memory.iter().map(Figure::to_json)).collect::<Value>());
        } else {
            found.iter().for_each(Comparison::print);
            table::print(&memory, false);
        }
        measured
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn compare(
        &self,
        arch: Arch,
        found: &mut Vec<Comparison>,
        memory: &mut Vec<Figure>,
    ) -> Result<()> {
        let mut guests = Guests::prepare(arch)?;
        if self.wants(Part::Boot) {
            ui::progress("Measuring", format_args!("boots on {arch}"));
            found.extend(boot::compare(&mut guests, self.rounds)?);
        }
        if self.wants(Part::Network) {
            tasks::compare(&mut guests, self.rounds, self.seconds, found)?;
        }
        if self.wants(Part::Disk) {
            disk::compare(&mut guests, self.rounds, found)?;
        }
        if self.wants(Part::Memory) {
            memory.extend(memory::find(&mut guests)?);
        }
        Ok(())
    }
}

impl Comparison {
    /// How many times as fast Mayfly is.
    fn ratio(&self) -> f64 {
        let (mayfly, linux) = (median(self.mayfly.clone()), median(self.linux.clone()));
        if self.is_time { linux / mayfly } else { mayfly / linux }
    }

    fn print(&self) {
        let Self { arch, name, unit, mayfly, linux, .. } = self;
        let (mayfly, linux) = (median(mayfly.clone()), median(linux.clone()));
        let ratio = self.ratio();
        println!("{arch:<8} {name:<45} {mayfly:>12.0} {linux:>12.0} {unit:<10} {ratio:>6.2}x");
    }

    fn to_json(&self) -> Value {
        json!({
            "arch": self.arch.name(),
            "name": self.name,
            "unit": self.unit,
            "mayfly": median(self.mayfly.clone()),
            "linux": median(self.linux.clone()),
            "ratio": self.ratio(),
        })
    }
}
