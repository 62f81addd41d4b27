//! What both guests are asked to do by the network.

use anyhow::{Context, Result};

use super::Comparison;
use super::guests::{Guests, MAYFLY_ADDRESS};
use crate::lab::{Domain, LINUX_ADDRESS};
use crate::ui;

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

/// Has both guests do everything so often, in turns.
pub fn compare(
    guests: &mut Guests,
    rounds: u32,
    seconds: u64,
    found: &mut Vec<Comparison>,
) -> Result<()> {
    let config = guests.linux(Vec::new());
    let linux = guests.start(&config, LINUX_ADDRESS)?;
    for app in ["echo", "http", "tests/bulk"] {
        let config = guests.mayfly(app, None, None)?;
        let mayfly: Domain = guests.start(&config, MAYFLY_ADDRESS)?;
        for task in TASKS.iter().filter(|task| task.app == app) {
            ui::progress("Measuring", format_args!("{} on {}", task.name, guests.arch));
            let Task { name, unit, order, rest, .. } = task;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let mut rate = |address: &str| -> Result<f64> {
                guests.rate(&format!("{order} {address} {seconds} {rest}"))
            };
            for _ in 0..rounds {
                ours.push(rate(MAYFLY_ADDRESS).context("Mayfly")?);
                theirs.push(rate(LINUX_ADDRESS).context("Linux")?);
            }
            found.push(Comparison {
                arch: guests.arch,
                name,
                unit,
                is_time: false,
                mayfly: ours,
                linux: theirs,
            });
        }
        mayfly.destroy(&mut guests.session)?;
    }
    linux.destroy(&mut guests.session)
}
