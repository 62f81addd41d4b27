//! `bench boot`: instructions by boot step, up to the first answered ping.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::counter::Counter;
use super::marks::{self, Steps};
use super::peer::{self, Peer};
use super::table::thousands;
use crate::app::App;
use crate::arch::{Arch, ArchChoice};
use crate::build::{self, How, Image};
use crate::run::{Console, Guest, Hardware, Network, Running};
use crate::{setup, ui};

/// How long a guest may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the instructions that each step of the boot takes, up to the first answered ping.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench boot
  cargo xtask bench boot echo --arch aarch64 --json

The guest gets its address by boot argument. Counts start at the image's entry point.")]
pub struct Options {
    /// An example, or a directory with an app crate.
    #[arg(default_value = "http")]
    app: String,
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// Boots so many times; the medians are printed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Prints JSON: an object with a list of steps for each architecture.
    #[arg(long)]
    json: bool,
}

/// A step, and the number of instructions from the entry point to its end.
type Step = (String, u64);

/// A console that nobody reads.
struct Silent;

impl Console for Silent {
    fn bytes(&mut self, _: &[u8]) {}
}

impl Options {
    /// Measures, and prints.
    pub fn execute(&self) -> Result<()> {
        let app = App::find(&self.app, None)?;
        let mut all = serde_json::Map::new();
        for &arch in self.arch.list() {
            setup::programs(&[arch.qemu()])?;
            let how = How { release: true, ..How::default() };
            let image = build::build(&app, arch, &how)?;
            let found = marks::find(&image)?;
            ui::progress("Booting", format_args!("{} for {arch}", app.binary));
            let runs = (0..self.runs.max(1)).map(|_| boot(&image, &found));
            let steps = medians(&runs.collect::<Result<Vec<_>>>()?);
            if self.json {
                all.insert(arch.name().into(), to_json(&steps));
            } else {
                print(&app.binary, arch, &steps);
            }
        }
        if self.json {
            println!("{}", Value::from(all));
        }
        Ok(())
    }
}

/// Boots an image once.
fn boot(image: &Image, found: &Steps) -> Result<Vec<Step>> {
    let counter = Counter::new(found.places.clone())?;
    let peer = Peer::new()?;
    let hardware = Hardware::default();
    let [netdev, device] = peer.qemu_arguments(hardware.machine_for(image.arch)?.transport())?;
    let guest = Guest {
        arch: image.arch,
        image: image.path.clone(),
        hardware,
        network: Network::None,
        arguments: vec![peer::BOOT_ARGUMENT.into()],
        gdb: None,
        extra: [vec!["-netdev".into(), netdev, "-device".into(), device], counter.qemu_arguments()]
            .concat(),
    };
    let mut command = Command::new(image.arch.qemu());
    command.args(guest.qemu_arguments()?).stdin(std::process::Stdio::null());
    let mut running = Running::start(command, Silent)?;
    let answered = peer.ping(PATIENCE, || counter.instructions())?;
    running.stop()?;

    // QEMU enters flat images after a handful of instructions of its own.
    let entry = counter.mark(0).unwrap_or(0);
    let mut steps: Vec<Step> = found
        .names
        .iter()
        .enumerate()
        .skip(1)
        .filter_map(|(mark, name)| Some((name.clone(), counter.mark(mark)?.checked_sub(entry)?)))
        .filter(|(_, count)| *count <= answered)
        .collect();
    steps.push(("first ping answered".into(), answered.saturating_sub(entry)));
    steps.sort_by_key(|(_, count)| *count);
    Ok(steps)
}

/// The median of each step over several boots, in the order of the first one.
fn medians(boots: &[Vec<Step>]) -> Vec<Step> {
    let first = boots.first().map(Vec::as_slice).unwrap_or_default();
    let median = |name: &str| {
        let in_boot = |boot: &Vec<Step>| Some(boot.iter().find(|(other, _)| other == name)?.1);
        let mut counts: Vec<u64> = boots.iter().filter_map(in_boot).collect();
        counts.sort_unstable();
        counts.get(counts.len() / 2).copied().unwrap_or(0)
    };
    first.iter().map(|(name, _)| (name.clone(), median(name))).collect()
}

fn print(app: &str, arch: Arch, steps: &[Step]) {
    println!("{app} on {arch}: instructions from the entry point");
    println!("{:>12} {:>12}  step", "up to here", "step alone");
    let mut previous = 0;
    for (name, count) in steps {
        let alone = count.saturating_sub(previous);
        println!("{:>12} {:>12}  {name}", thousands(*count), thousands(alone));
        previous = *count;
    }
}

fn to_json(steps: &[Step]) -> Value {
    steps.iter().map(|(name, count)| json!({ "step": name, "instructions": count })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_taken_step_by_step() {
        let boot = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
        let boots = [boot(1, 10), boot(3, 30), boot(2, 20)];
        assert_eq!(medians(&boots), boot(2, 20));
        assert!(medians(&[]).is_empty());
    }
}
