//! The chart of a boot by `xl create` in the lab.
//!
//! The instructions are those of the whole machine, from the guest's entry on: of the guest, and of
//! what Xen and dom0 do for it, because a guest of Xen waits for both more than it computes. How
//! long xl takes before the entry follows from the time that `tests/meter` in dom0 measures from the
//! start of xl to the first answer to a ping.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::app::App;
use crate::arch::Arch;
use crate::bench::counter::Counter;
use crate::bench::marks::{PING, Steps};
use crate::bench::table::thousands;
use crate::build::Image;
use crate::lab::{Hardware, Lab, Session, Xen};
use crate::tools::quote;
use crate::ui;
use crate::xl_cfg::Config;

/// The guest's address, and its memory in MiB.
const ADDRESS: &str = "10.99.0.2";
const MEMORY: u64 = 16;

/// A step of the boot.
#[derive(Clone, Debug)]
pub struct Step {
    name: String,
    /// Instructions of the machine since the guest's entry.
    instructions: u64,
    /// Microseconds since then.
    micros: u64,
}

/// What a boot took.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Microseconds from the start of xl to the guest's entry.
    before: u64,
    steps: Vec<Step>,
}

/// Boots an image so often; gives the boot whose ping was the median one.
pub fn boot(app: &App, image: &Image, found: &Steps, runs: usize) -> Result<Boot> {
    let xen = Xen::of(image.arch);
    let meter = crate::linux::program("meter", "meter", xen.arch())?;
    let mut places = found.places.clone();
    if let Some(entry) = entry(image.arch) {
        places.retain(|(mark, _)| *mark != 0);
        places.push((0, entry));
    }
    let counter = Counter::new(places)?;
    let lab = Lab::prepare(xen)?;
    ui::progress("Booting", format_args!("Xen and dom0 on {}", xen.arch()));
    let hardware = Hardware::default_of(xen).with_arguments(counter.qemu_arguments());
    let mut session = Session::start(&lab, &hardware)?;
    let arguments = [format!("ip={ADDRESS}/24")];
    let config = Config::for_lab(app, image, Some(MEMORY), &arguments)?;
    let config = Config { network: true, native_tsc: true, ..config };
    let mac = config.mac.context("the guest has no hardware address")?;
    session.send("meter", &std::fs::read(meter)?)?;
    session.send(&quote(&config.kernel), &std::fs::read(&image.path)?)?;
    session.send("guest.cfg", config.text().as_bytes())?;
    session.succeed(&format!("chmod +x meter; arp -i xenbr0 -s {ADDRESS} {mac}"))?;
    ui::progress("Booting", format_args!("{} for {} on it", app.binary, image.arch));
    let mut boots = Vec::new();
    for _ in 0..runs.max(1) {
        counter.forget_marks()?;
        let printed = session.succeed(&format!("./meter create guest.cfg {ADDRESS}"))?;
        boots.push(chart(&counter, found, &printed)?);
        session.succeed(&format!("xl destroy {}", quote(&config.name)))?;
    }
    boots.sort_by_key(|boot| boot.steps.iter().find(|step| step.name == PING).map(|s| s.micros));
    let median = boots.len() / 2;
    Ok(boots.swap_remove(median))
}

/// Where xl enters flat images.
fn entry(arch: Arch) -> Option<u64> {
    match arch {
        Arch::X86_64 => None,
        Arch::Aarch64 => Some(0x4008_0000),
        Arch::Armv7 => Some(0x4000_8000),
    }
}

fn chart(counter: &Counter, found: &Steps, printed: &str) -> Result<Boot> {
    let figures = printed.lines().last().and_then(|line| line.split_once(' '));
    let (pinged, _) = figures.with_context(|| format!("not measured: {printed}"))?;
    let pinged: u64 = pinged.parse()?;
    let at = |mark: usize| Some((counter.mark(mark)?, counter.time(mark)?));
    let (first, start) = at(0).context("the guest was not entered where it should be")?;
    let step = |(mark, name): (usize, &String)| {
        let (instructions, time) = at(mark)?;
        Some(Step {
            name: name.clone(),
            instructions: instructions.checked_sub(first)?,
            micros: time.checked_sub(start)? / 1000,
        })
    };
    let mut steps: Vec<Step> = found.names.iter().enumerate().skip(1).filter_map(step).collect();
    steps.sort_by_key(|step| step.instructions);
    let ping = steps.iter().find(|step| step.name == PING).context("no ping was received")?;
    Ok(Boot { before: pinged.saturating_sub(ping.micros), steps })
}

impl Boot {
    /// Prints a table.
    pub fn print(&self, app: &str, arch: Arch) {
        println!("{app} on {arch}, by xl: instructions of the machine, and ms, from the entry");
        println!("{:>14} {:>14} {:>10}  step", "up to here", "step alone", "ms");
        let ms = |micros: u64| micros as f64 / 1000.0;
        println!("{:>14} {:>14} {:>10.1}  xl and dom0, before", "", "", -ms(self.before));
        let mut previous = 0;
        for Step { name, instructions, micros } in &self.steps {
            let alone = instructions.saturating_sub(previous);
            let (here, alone) = (thousands(*instructions), thousands(alone));
            println!("{here:>14} {alone:>14} {:>10.1}  {name}", ms(*micros));
            previous = *instructions;
        }
    }

    /// For those who want JSON.
    pub fn to_json(&self) -> Value {
        let steps = self.steps.iter().map(|Step { name, instructions, micros }| {
            json!({ "step": name, "instructions": instructions, "microseconds": micros })
        });
        json!({ "microseconds before the entry": self.before, "steps": steps.collect::<Value>() })
    }
}
