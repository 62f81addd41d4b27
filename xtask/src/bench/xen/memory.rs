//! The least memory with which Mayfly's guests serve.

use anyhow::Result;

use super::guests::{Guests, MAYFLY_ADDRESS};
use crate::bench::table::Figure;
use crate::ui;

/// Sizes to be tried, in MiB, from the largest down.
const SIZES: [u64; 6] = [16, 8, 6, 4, 3, 2];

/// Examples, and what they have to do: more at once than usual.
const EXAMPLES: [(&str, &[&str]); 2] =
    [("echo", &["udp 10.99.0.2 1", "tcp 10.99.0.2 1"]), ("http", &["http 10.99.0.2 3 64"])];

/// Finds it by trying.
pub fn find(guests: &mut Guests) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, orders) in EXAMPLES {
        ui::progress("Starting", format_args!("{name} on {} with less and less", guests.arch));
        let mut value = None;
        for size in SIZES {
            if !serves(guests, name, size, orders) {
                break;
            }
            value = Some(size);
        }
        figures.push(Figure { name, arch: guests.arch, value, unit: "MiB" });
    }
    Ok(figures)
}

fn serves(guests: &mut Guests, app: &str, size: u64, orders: &[&str]) -> bool {
    // It is known not to start.
    let Ok(config) = guests.mayfly(app, None, Some(size)) else { return false };
    let started = guests.start(&config, MAYFLY_ADDRESS);
    let served = started.is_ok() && orders.iter().all(|order| guests.measure(order).is_ok());
    // It is there, started or not.
    let destroyed = guests.session.run(&format!("xl destroy {}", config.name));
    served && destroyed.is_ok()
}
