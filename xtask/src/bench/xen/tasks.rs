//! What both guests are asked to do by the network.

use anyhow::{Context, Result};

use super::Comparison;
use super::guests::{Guests, MAYFLY_ADDRESS};
use crate::lab::{Domain, LINUX_ADDRESS};
use crate::ui;
use crate::xl_cfg::Config;

/// Something that is done for a while, and counted.
struct Task {
    name: &'static str,
    unit: &'static str,
    /// Mayfly's app that does it.
    app: &'static str,
    /// What `tests/meter` is told to do, and with what after the time.
    order: &'static str,
    rest: &'static str,
}

const fn task(
    name: &'static str,
    unit: &'static str,
    app: &'static str,
    order: &'static str,
    rest: &'static str,
) -> Task {
    Task { name, unit, app, order, rest }
}

const TASKS: [Task; 6] = [
    task("UDP echo", "round trips/s", "echo", "udp", ""),
    task("TCP echo", "round trips/s", "echo", "tcp", ""),
    task("HTTP, 1 connection", "requests/s", "http", "http", "1"),
    task("HTTP, 16 connections", "requests/s", "http", "http", "16"),
    task("TCP to the guest", "bytes/s", "tests/bulk", "send", ""),
    task("TCP from the guest", "bytes/s", "tests/bulk", "receive", ""),
];

/// What came out for one guest, round by round.
#[derive(Default)]
struct Figures {
    /// Bytes or requests a second.
    rates: Vec<f64>,
    /// Nanoseconds of the guest's own for each.
    times: Vec<f64>,
}

/// Has both guests do everything so often, in turns.
pub fn compare(
    guests: &mut Guests,
    rounds: u32,
    seconds: u64,
    found: &mut Vec<Comparison>,
) -> Result<()> {
    let linux_config = guests.linux(Vec::new());
    let linux = guests.start(&linux_config, LINUX_ADDRESS)?;
    for app in ["echo", "http", "tests/bulk"] {
        let config = guests.mayfly(app, None, None)?;
        let mayfly: Domain = guests.start(&config, MAYFLY_ADDRESS)?;
        for task in TASKS.iter().filter(|task| task.app == app) {
            ui::progress("Measuring", format_args!("{} on {}", task.name, guests.arch));
            let (mut ours, mut theirs) = (Figures::default(), Figures::default());
            for _ in 0..rounds {
                task.measure(guests, &config, MAYFLY_ADDRESS, seconds, &mut ours)?;
                task.measure(guests, &linux_config, LINUX_ADDRESS, seconds, &mut theirs)?;
            }
            found.extend(task.comparisons(guests, ours, theirs));
        }
        mayfly.destroy(&mut guests.session)?;
    }
    linux.destroy(&mut guests.session)
}

impl Task {
    /// Has one guest do it for so many seconds.
    fn measure(
        &self,
        guests: &mut Guests,
        guest: &Config,
        address: &str,
        seconds: u64,
        figures: &mut Figures,
    ) -> Result<()> {
        let Self { order, rest, .. } = self;
        let before = guests.busy(guest)?;
        let (done, share) = guests
            .measure(&format!("{order} {address} {seconds} {rest}"))
            .with_context(|| format!("{} does not do it", guest.name))?;
        let time = guests.busy(guest)?.saturating_sub(before);
        let rate = done.first().context("nothing was measured")?;
        figures.rates.push(rate / share);
        figures.times.push(time.as_nanos() as f64 * share / (rate * seconds as f64));
        Ok(())
    }

    /// What is told of it.
    fn comparisons(&self, guests: &Guests, ours: Figures, theirs: Figures) -> [Comparison; 2] {
        let Self { name, unit, .. } = self;
        let arch = guests.arch;
        let rate = Comparison {
            arch,
            name: (*name).to_owned(),
            unit,
            is_time: false,
            mayfly: ours.rates,
            linux: theirs.rates,
        };
        let time = Comparison {
            arch,
            name: format!("{name}: the guest itself"),
            unit: "ns each",
            is_time: true,
            mayfly: ours.times,
            linux: theirs.times,
        };
        [rate, time]
    }
}
