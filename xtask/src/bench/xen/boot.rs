//! Times to the first answers of a guest that boots.
//!
//! They are counted twice, in boots of their own. From `xl create`: until the first answer has come
//! to the program that started xl. From the entry: the guest is created paused, with its back ends
//! waiting, and then unpaused by the hypercall itself. Xen may enter it from that moment on, and
//! nothing else is left to be done for it.
//!
//! Linux has a Xen of its own, which is booted anew when Linux does not come up. On ARM that happens
//! in QEMU 7.2: Xen clears the memory of guests by DC ZVA, for which QEMU drops the code that it has
//! translated from one byte in 64 only, and as long as it has some of a page, it looks at each write
//! to it. A kernel whose decompressor has its stack there takes a hundred times as long.

use anyhow::{Context, Result};

use super::Comparison;
use super::guests::{Guests, MAYFLY_ADDRESS};
use crate::arch::Arch;
use crate::lab::{LINUX_ADDRESS, console_log};
use crate::run::interrupted;
use crate::tools::quote;
use crate::ui;
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
    let mut others = with_linux(guests.arch)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(boots(guests, &mayfly, MAYFLY_ADDRESS).context("Mayfly")?);
        theirs.push(linux_boots(&mut others)?);
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

/// Another lab, whose dom0 knows of the Linux guest.
fn with_linux(arch: Arch) -> Result<Guests> {
    let mut others = Guests::prepare(arch)?;
    others.announce(&others.linux(Vec::new()), LINUX_ADDRESS)?;
    Ok(others)
}

/// One boot of each kind of Linux, if need be in a lab that has booted nothing before.
fn linux_boots(others: &mut Guests) -> Result<Vec<f64>> {
    let linux = others.linux(Vec::new());
    match boots(others, &linux, LINUX_ADDRESS) {
        Err(error) if !interrupted() => {
            ui::warning(format_args!("this boot does not count: {error:#}"));
            *others = with_linux(others.arch)?;
            boots(others, &linux, LINUX_ADDRESS).context("Linux")
        }
        result => result,
    }
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
