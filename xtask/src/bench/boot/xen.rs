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

/// The guest's address, its memory in MiB, and its disk if it has one.
const ADDRESS: &str = "10.99.0.2";
const MEMORY: u64 = 16;
const DISK: &str = "/run/disk.img";

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

/// A lab in which a guest is booted again and again.
pub struct Booting<'a> {
    session: Session,
    counter: Counter,
    found: &'a Steps,
    config: Config,
    runs: usize,
}

impl<'a> Booting<'a> {
    /// Boots Xen and dom0 for an image, whose steps are known, and which is to be booted so often.
    pub fn prepare(
        app: &App,
        image: &Image,
        found: &'a Steps,
        runs: usize,
        disk: bool,
    ) -> Result<Self> {
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
        let config = Config::for_lab(app, image, Some(MEMORY), &[])?;
        let disks = if disk { vec![DISK.into()] } else { Vec::new() };
        let config = Config { network: true, native_tsc: true, disks, ..config };
        let mac = config.mac.context("the guest has no hardware address")?;
        session.send("meter", &std::fs::read(meter)?)?;
        session.send(&quote(&config.kernel), &std::fs::read(&image.path)?)?;
        session.succeed(&format!(
            "chmod +x meter; arp -i xenbr0 -s {ADDRESS} {mac}; head -c 1048576 /dev/zero >{DISK}"
        ))?;
        Ok(Self { session, counter, found, config, runs })
    }

    /// Boots with these arguments; gives the boot whose ping was the median one.
    pub fn boot(&mut self, arguments: &[&str]) -> Result<Boot> {
        let address = format!("ip={ADDRESS}/24");
        let arguments = [&[address.as_str()], arguments].concat();
        ui::progress("Booting", format_args!("{} {}", self.config.name, arguments.join(" ")));
        self.config.arguments = arguments.into_iter().map(String::from).collect();
        self.session.send("guest.cfg", self.config.text().as_bytes())?;
        let mut boots = Vec::new();
        for _ in 0..self.runs.max(1) {
            self.counter.forget_marks()?;
            let create = format!("./meter create guest.cfg {ADDRESS}");
            let printed = self.session.succeed(&create)?;
            boots.push(chart(&self.counter, self.found, &printed)?);
            self.session.succeed(&format!("xl destroy {}", quote(&self.config.name)))?;
        }
        boots.sort_by_key(|boot| boot.at(PING).map(|step| step.micros));
        let median = boots.len() / 2;
        Ok(boots.swap_remove(median))
    }
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
    let mut boot = Boot { before: pinged, steps };
    boot.before -= boot.at(PING).context("no ping was received")?.micros.min(pinged);
    Ok(boot)
}

impl Boot {
    /// A step that was reached.
    fn at(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Prints a table.
    pub fn print(&self, what: &str, arch: Arch) {
        println!("{what} on {arch}, by xl: instructions of the machine, and ms, from the entry");
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
