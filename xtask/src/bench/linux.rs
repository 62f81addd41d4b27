//! `bench linux`: requests and bytes a second, of Mayfly and of a Linux guest, side by side.
//!
//! Both guests run at the same time on the same QEMU, with the same kind of machine and network,
//! and are asked in turns by the same clients. So what disturbs one disturbs the other, and the
//! ratio of the two means something where the figures do not.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use super::live;
use crate::arch::{Arch, ArchChoice};
use crate::linux::Linux;
use crate::run::{Guest, Hardware, Machine, Network};
use crate::test::{INTERFACE, Namespace, TestGuest};
use crate::{paths, setup, tools, ui};

mod task;

use task::{TASKS, Task};

/// Compares requests and bytes a second with those of a Debian Linux guest on the same QEMU.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench linux
  cargo xtask bench linux --arch aarch64 --rounds 9 --json

Needs root or user namespaces, because each guest gets a network of its own. The Linux guest is
Debian's cloud kernel, whose package is fetched but not installed, with tests/linux-server as its
only process. Each figure is the median of the rounds; only the ratio is to be quoted.")]
pub struct Options {
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: ArchChoice,
    /// How often each guest does each task.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds for each task.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What came out for one task.
struct Comparison {
    arch: Arch,
    task: &'static Task,
    mayfly: f64,
    linux: f64,
}

impl Options {
    /// Measures, and prints.
    pub fn execute(&self) -> Result<()> {
        setup::programs(&["wrk"])?;
        let mut found = Vec::new();
        for &arch in self.arch.list() {
            self.compare(arch, &mut found)?;
        }
        if self.json {
            println!("{}", found.iter().map(Comparison::to_json).collect::<Value>());
        } else {
            found.iter().for_each(Comparison::print);
        }
        Ok(())
    }

    fn compare(&self, arch: Arch, found: &mut Vec<Comparison>) -> Result<()> {
        let linux = Linux::prepare(arch)?;
        ui::progress("Booting", format_args!("{} for {arch}", linux.name));
        let linux = start_linux(arch, &linux)?;
        for app in ["http", "tests/bulk"] {
            let mayfly = start_mayfly(arch, app)?;
            for task in TASKS.iter().filter(|task| task.app == app) {
                ui::progress("Measuring", format_args!("{} on {arch}", task.name));
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                for _ in 0..self.rounds {
                    ours.push(task.rate(&mayfly, self.seconds).context("Mayfly")?);
                    theirs.push(task.rate(&linux, self.seconds).context("Linux")?);
                }
                let (mayfly, linux) = (median(ours), median(theirs));
                found.push(Comparison { arch, task, mayfly, linux });
            }
        }
        Ok(())
    }
}

impl Comparison {
    fn ratio(&self) -> f64 {
        self.mayfly / self.linux
    }

    fn print(&self) {
        let Self { arch, task, mayfly, linux } = self;
        let Task { name, unit, .. } = task;
        let ratio = self.ratio();
        println!("{arch:<8} {name:<24} {mayfly:>14.0} {linux:>14.0} {unit:<10} {ratio:>6.2}x");
    }

    fn to_json(&self) -> Value {
        json!({
            "arch": self.arch.name(),
            "name": self.task.name,
            "unit": self.task.unit,
            "mayfly": self.mayfly,
            "linux": self.linux,
            "ratio": self.ratio(),
        })
    }
}

/// The hardware of both guests. Debian's kernel knows no virtio-mmio devices on x86. Neither guest uses
/// the second processor; but with one, QEMU 7.2 leaves out barriers, and Linux misses an interrupt now
/// and then, and hears nothing any more.
fn hardware(arch: Arch) -> Hardware {
    let machine = (arch == Arch::X86_64).then_some(Machine::Q35);
    Hardware { machine, smp: 2, memory: "256M".into(), ..Hardware::default() }
}

fn start_mayfly(arch: Arch, app: &str) -> Result<TestGuest> {
    let path = paths::repository().join(app);
    let app = if path.is_dir() { path.to_string_lossy() } else { app.into() };
    let (_, image) = live::image(&app, arch)?;
    let mut guest = TestGuest::start_in(Namespace::new()?, &image, hardware(arch), &[])?;
    guest
        .until("address", live::PATIENCE, |console| console.contains("10.77.0.2").then_some(()))?;
    Ok(guest)
}

fn start_linux(arch: Arch, linux: &Linux) -> Result<TestGuest> {
    let console = if arch == Arch::X86_64 { "ttyS0" } else { "ttyAMA0" };
    let guest = Guest {
        arch,
        image: linux.kernel.clone(),
        hardware: hardware(arch),
        network: Network::Tap(INTERFACE.into()),
        arguments: vec![format!("console={console}"), "quiet".into(), "maxcpus=1".into()],
        gdb: None,
        extra: vec!["-initrd".into(), linux.initrd.to_string_lossy().into_owned()],
    };
    let mut guest = TestGuest::start_other(Namespace::new()?, &guest)?;
    let ready = |console: &str| console.contains("the server is ready").then_some(());
    guest.until("start of the Linux server", live::PATIENCE, ready)?;
    Ok(guest)
}

/// The middle one; of two, the mean.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    f64::midpoint(at(low), at(high))
}

/// Runs a client where it reaches the guest; gives what it prints.
fn client(guest: &TestGuest, command: &Command) -> Result<String> {
    tools::output(&mut guest.client(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!((median(vec![7.0]) - 7.0).abs() < 1e-9);
    }
}
