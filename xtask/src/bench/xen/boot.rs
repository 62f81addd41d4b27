//! Times to the first answers of a guest that boots.
//!
//! They are counted twice, in boots of their own. From `xl create`: until the first answer has come
//! to the program that started xl. From the entry: the guest is created paused, with its back ends
//! waiting, and then unpaused by the hypercall itself. Xen may enter it from that moment on, and
//! nothing else is left to be done for it.

use anyhow::{Context, Result};

use super::Comparison;
use super::guests::{Guests, MAYFLY_ADDRESS};
use crate::lab::{LINUX_ADDRESS, console_log};
use crate::tools::quote;
use crate::xl_cfg::Config;

/// The example that boots: it has a web server.
const APP: &str = "http";

const NAMES: [&str; 4] = [
    "xl create to the first ping",
    "xl create to the first HTTP byte",
    "entry to the first ping",
    "entry to the first HTTP byte",
];

/// Boots both guests so often, in turns.
pub fn compare(guests: &mut Guests, rounds: u32) -> Result<Vec<Comparison>> {
    let mayfly = guests.mayfly(APP, None, None)?;
    guests.announce(&mayfly, MAYFLY_ADDRESS)?;
    let linux = guests.linux(Vec::new());
    guests.announce(&linux, LINUX_ADDRESS)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(boots(guests, &mayfly, MAYFLY_ADDRESS).context("Mayfly")?);
        theirs.push(boots(guests, &linux, LINUX_ADDRESS).context("Linux")?);
    }
    let column = |rows: &[Vec<f64>], at: usize| -> Vec<f64> {
        rows.iter().filter_map(|row| row.get(at).copied()).collect()
    };
    let comparison = |(at, name): (usize, &str)| Comparison {
        arch: guests.arch,
        name: name.to_owned(),
        unit: "µs",
        is_time: true,
        mayfly: column(&ours, at),
        linux: column(&theirs, at),
    };
    Ok(NAMES.into_iter().enumerate().map(comparison).collect())
}

/// One boot of each kind; the times in the order of their names.
fn boots(guests: &mut Guests, config: &Config, address: &str) -> Result<Vec<f64>> {
    let name = &config.name;
    let mut figures = times(guests, name, &format!("create {name}.cfg {address}"))?;
    let destroy = format!("xl destroy {name}");
    guests.session.succeed(&destroy)?;
    guests.session.succeed(&format!("xl create -p {name}.cfg"))?;
    figures.extend(times(guests, name, &format!("unpause {name} {address}"))?);
    guests.session.succeed(&destroy)?;
    Ok(figures)
}

/// Has the program in dom0 measure a boot. What the guest has printed explains why there is nothing to
/// be measured.
fn times(guests: &mut Guests, name: &str, arguments: &str) -> Result<Vec<f64>> {
    match guests.measure(arguments) {
        Ok((figures, share)) => Ok(figures.iter().map(|time| time * share).collect()),
        Err(error) => {
            let log = quote(&console_log(name));
            let printed = guests.session.run(&format!("tail -n 20 {log}"));
            let printed = printed.map(|said| said.text()).unwrap_or_default();
            Err(error.context(format!("its console says last:\n{printed}")))
        }
    }
}
