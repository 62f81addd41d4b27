//! `bench idle`: what each second takes in which nobody asks for anything.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::live::Live;
use super::table::{self, Figure};
use crate::arch::ArchChoice;
use crate::ui;

/// Seconds to let the guest come to rest, and those that are counted. It has answered one request
/// before, and what it does for that afterwards, in the minute in which it remembers the
/// connection, counts.
const REST: u64 = 1;
const COUNTED: u64 = 70;

/// Counts the instructions of a guest that serves HTTP, for each second in which nobody asks, and
/// the processor time that QEMU takes of its host. Takes more than a minute for each architecture.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench idle
  cargo xtask bench idle --arch armv7 --json")]
pub struct Options {
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Measures, and prints.
    pub fn execute(&self) -> Result<()> {
        let mut figures = Vec::new();
        for &arch in self.arch.list() {
            ui::progress("Counting", format_args!("idle instructions on {arch}"));
            let mut live = Live::start("http", arch)?;
            live.http_port()?;
            sleep(Duration::from_secs(REST));
            let processor = |live: &Live| live.guest.processors().map(|time| time.used);
            let (before, used) = (live.counter.instructions(), processor(&live));
            sleep(Duration::from_secs(COUNTED));
            let count = (live.counter.instructions() - before) / COUNTED;
            let used = processor(&live).zip(used).and_then(|(now, then)| {
                u64::try_from(now.saturating_sub(then).as_micros() / u128::from(COUNTED)).ok()
            });
            let unit = "instructions";
            figures.push(Figure { name: "idle second", arch, value: Some(count), unit });
            let unit = "microseconds";
            figures.push(Figure { name: "idle second, host", arch, value: used, unit });
        }
        table::print(&figures, self.json);
        Ok(())
    }
}
