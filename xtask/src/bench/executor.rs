//! `bench executor`: what tasks, timers and channels cost.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::live;
use super::table::{self, Figure};
use crate::arch::{Arch, ArchChoice};
use crate::run::{Hardware, Network};
use crate::test::TestGuest;
use crate::ui;

/// The guest that measures itself; its defaults are a million of everything, and 100,000 sleepers.
const GUEST: &str = "guests/tasks";

/// With this, a nanosecond of the guest's clock is an instruction, and time that the guest sleeps
/// passes at once.
const COUNT: [&str; 2] = ["-icount", "shift=0,sleep=off"];

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the guest prints of each figure, and what it is.
const FIGURES: [(&str, &str); 7] = [
    ("allocate and free 64 bytes", "allocate, free 64 bytes"),
    ("wake and poll a task", "wake and poll a task"),
    ("spawn and finish a task", "spawn, finish a task"),
    ("timeout that is not needed", "unneeded timeout"),
    ("send through a channel", "send through a channel"),
    ("spawn a task that goes to sleep", "spawn a sleeper"),
    ("wake, run and end a sleeping task", "wake, end a sleeper"),
];

/// Counts the instructions that tasks, timers and channels cost: a million tasks are spawned, and
/// 100,000 that sleep are woken.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench executor
  cargo xtask bench executor --arch aarch64 --json")]
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
            ui::progress("Counting", format_args!("what tasks cost on {arch}"));
            let console = run(arch)?;
            for (text, name) in FIGURES {
                let value = nanoseconds(&console, text)
                    .with_context(|| format!("the guest does not tell what it is to {text}"))?;
                figures.push(Figure { name, arch, value: Some(value), unit: "instructions" });
            }
        }
        table::print(&figures, self.json);
        Ok(())
    }
}

/// Runs the guest to its end; gives what it printed.
fn run(arch: Arch) -> Result<String> {
    let (_, image) = live::image(GUEST, arch)?;
    let count = COUNT.map(str::to_owned).to_vec();
    let hardware = Hardware::default();
    let mut guest = TestGuest::start_with(&image, hardware, Network::None, &[], count)?;
    let status = guest.wait(PATIENCE)?;
    let console = guest.console();
    ensure!(status == 0, "the guest ended with status {status}:\n{console}");
    Ok(console)
}

/// The figure in the line that begins with `text`.
fn nanoseconds(console: &str, text: &str) -> Option<u64> {
    let rest = console.lines().find_map(|line| line.strip_prefix(text))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_the_guest_prints() {
        let console = "wake and poll a task                        192 ns\n";
        assert_eq!(nanoseconds(console, "wake and poll a task"), Some(192));
        assert_eq!(nanoseconds(console, "send through a channel"), None);
    }
}
