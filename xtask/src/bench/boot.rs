//! `bench boot`: instructions by boot step, up to the first answered ping, or to the app's `main`.

mod xen;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::xen::Booting;
use super::counter::Counter;
use super::marks::{self, Steps};
use super::peer::{self, Peer};
use super::table::thousands;
use crate::app::App;
use crate::arch::{Arch, ArchChoice};
use crate::build::{self, How, Image};
use crate::run::{Console, Guest, Hardware, Network, Running};
use crate::{paths, setup, ui};

/// How long a guest may take to answer, or to reach its `main`.
const PATIENCE: Duration = Duration::from_secs(30);

/// The app that connects several devices: a directory of this checkout, and its binary.
const DEVICES: (&str, Option<&str>) = ("tests/bulk", Some("devices"));

/// How often is looked whether it has.
const INTERVAL: Duration = Duration::from_millis(2);

/// Counts the instructions that each step of the boot takes, up to the first answered ping.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench boot
  cargo xtask bench boot echo --arch aarch64 --json
  cargo xtask bench boot hello              up to its main: it has no network
  cargo xtask bench boot --on xen           by xl in the lab, up to the first answer by HTTP
  cargo xtask bench boot --on xen --disk    a network card and a disk, at once and in turn

The guest gets its address by boot argument. Counts start at the image's entry point. An app that
does not use the network answers no ping; its boot is over when its main starts.")]
pub struct Options {
    /// An example, or a directory with an app crate.
    #[arg(default_value = "http")]
    app: String,
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// What the app runs on: QEMU's machines, or the lab's Xen, where the instructions are those of
    /// the whole machine.
    #[arg(long, value_enum, default_value = "qemu")]
    on: Platform,
    /// On Xen: boots an app that connects a network card and a disk before it answers, at the same
    /// time, and then one after the other.
    #[arg(long, conflicts_with = "app")]
    disk: bool,
    /// Boots so many times; the medians are printed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    runs: usize,
    /// Prints JSON: an object with a list of steps for each architecture.
    #[arg(long)]
    json: bool,
}

/// What boots an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Platform {
    Qemu,
    Xen,
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
        ensure!(!self.disk || self.on == Platform::Xen, "`--disk` is for `--on xen`");
        let app = match self.disk {
            true => App::find(&paths::repository().join(DEVICES.0).to_string_lossy(), DEVICES.1)?,
            false => App::find(&self.app, None)?,
        };
        let mut all = serde_json::Map::new();
        for &arch in self.arch.list() {
            setup::programs(&[arch.qemu()])?;
            let how = How { release: true, ..How::default() };
            let image = build::build(&app, arch, &how)?;
            let found = marks::find(&image)?;
            let figures = match self.on {
                Platform::Qemu => self.on_qemu(&app, &image, &found)?,
                Platform::Xen => self.on_xen(&app, &image, &found)?,
            };
            all.insert(arch.name().into(), figures);
        }
        if self.json {
            println!("{}", Value::from(all));
        }
        Ok(())
    }

    fn on_qemu(&self, app: &App, image: &Image, found: &Steps) -> Result<Value> {
        let arch = image.arch;
        ui::progress("Booting", format_args!("{} for {arch}", app.binary));
        let runs = (0..self.runs.max(1)).map(|_| boot(image, found));
        let runs = runs.collect::<Result<Vec<_>>>().with_context(|| {
            format!("cannot count; `cargo xtask run {} --arch {arch}` shows more", self.app)
        })?;
        let steps = medians(&runs);
        if !self.json {
            print(&app.binary, arch, &steps);
        }
        Ok(to_json(&steps))
    }

    fn on_xen(&self, app: &App, image: &Image, found: &Steps) -> Result<Value> {
        ensure!(found.network, "`{}` has no network, so nobody can ask it", app.binary);
        let mut booting = Booting::prepare(app, image, found, self.runs, self.disk)?;
        let mut boot = |what: &str, arguments: &[&str]| -> Result<Value> {
            let boot = booting.boot(arguments)?;
            if !self.json {
                boot.print(what, image.arch);
            }
            Ok(boot.to_json())
        };
        if !self.disk {
            return boot(&app.binary, &[]);
        }
        let together = boot("a network card and a disk at once", &[])?;
        let in_turn = boot("a disk, and then a network card", &["in-turn"])?;
        Ok(json!({ "at once": together, "in turn": in_turn }))
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
    let answered = if found.network {
        Some(peer.ping(PATIENCE, || running.is_running(), || counter.instructions())?)
    } else {
        until_main(found, &counter, &mut running)?;
        None
    };
    running.stop()?;

    // QEMU enters flat images after a handful of instructions of its own.
    let entry = counter.mark(0).unwrap_or(0);
    let mut steps: Vec<Step> = found
        .names
        .iter()
        .enumerate()
        .skip(1)
        .filter_map(|(mark, name)| Some((name.clone(), counter.mark(mark)?.checked_sub(entry)?)))
        .filter(|(_, count)| answered.is_none_or(|answered| *count <= answered))
        .collect();
    let ping = |answered: u64| ("first ping answered".into(), answered.saturating_sub(entry));
    steps.extend(answered.map(ping));
    steps.sort_by_key(|(_, count)| *count);
    Ok(steps)
}

/// Waits until the guest has reached its `main`; it may have ended since.
fn until_main(found: &Steps, counter: &Counter, running: &mut Running) -> Result<()> {
    let main = found.main().context("the image has no main")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // In this order: what ends now has reached all that it ever will.
        let alive = running.is_running();
        if counter.mark(main).is_some() {
            return Ok(());
        }
        ensure!(alive, "the guest ended before its main");
        ensure!(Instant::now() < deadline, "no main within {} s", PATIENCE.as_secs());
        thread::sleep(INTERVAL);
    }
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
