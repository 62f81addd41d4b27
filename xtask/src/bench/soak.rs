//! `bench soak`: whether a guest still answers everything after a long time of bursts.

use std::fmt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::burst::Tally;
use super::live;
use crate::arch::{Arch, ArchChoice};
use crate::run::{Hardware, Protocol, interrupted};
use crate::test::{Namespace, TestGuest};
use crate::{paths, tools, ui};

/// How often is told how it goes.
const STRETCH: Duration = Duration::from_secs(60);

/// Asks the http example in bursts of 16 and 256 requests at a time, and fails when an answer is
/// wrong or takes too long.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench soak --minutes 60
  cargo xtask bench soak --minutes 20 --arch aarch64 --gic 3
  cargo xtask bench soak --minutes 1 --json

Guests of all architectures run side by side, each on a network of its own, which needs root or
user namespaces. Each minute is told how many requests there were, how long the slowest one and the
slowest connection took, how much of its memory the guest has ever used, which must not go on
growing, and how long QEMU has waited for processors: where that is long, the host was busy.")]
pub struct Options {
    /// Architectures to soak.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Seconds after which a request without an answer counts as a stall.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,
    #[command(flatten)]
    hardware: Hardware,
    /// Prints JSON: a list with an object for each architecture.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Asks, and prints a line for each architecture, or JSON.
    pub fn execute(&self) -> Result<()> {
        let mut images = Vec::new();
        for &arch in self.arch.list() {
            self.hardware.machine_for(arch)?;
            images.push((arch, live::image("http", arch)?.1));
        }
        let all: Result<Vec<Value>> = thread::scope(|scope| {
            let soaks: Vec<_> = images
                .iter()
                .map(|(arch, image)| {
                    scope.spawn(move || {
                        let hardware = self.hardware.clone();
                        let mut guest =
                            TestGuest::start_in(Namespace::new()?, image, hardware, &[])?;
                        self.soak(*arch, &mut guest)
                            .with_context(|| format!("{arch}:\n{}", guest.console()))
                    })
                })
                .collect();
            // All of them, also if one has failed.
            let results = soaks
                .into_iter()
                .map(|soak| soak.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            results.collect::<Vec<_>>().into_iter().collect()
        });
        let all = all?;
        if self.json {
            println!("{}", Value::from(all));
        }
        Ok(())
    }

    /// Soaks one guest, and prints the outcome, which is also given for JSON.
    fn soak(&self, arch: Arch, guest: &mut TestGuest) -> Result<Value> {
        guest.until("address", live::PATIENCE, |console| {
            console.contains("serving").then_some(())
        })?;
        let start = Instant::now();
        let before = State::of(guest);
        let mut total = Tally::default();
        while start.elapsed() < Duration::from_secs(60 * self.minutes) {
            let since = State::of(guest);
            let tally = self.bursts(guest).with_context(|| {
                let waited = State::of(guest).waited.saturating_sub(since.waited);
                format!("in a minute in which QEMU waited {} ms for processors", waited.as_millis())
            })?;
            total = total.and(tally);
            let minute = start.elapsed().as_secs() / 60;
            let course = since.until(State::of(guest), tally);
            ui::progress("Soaked", format_args!("{arch:<8} {minute:>3} min: {course}"));
        }
        let course = before.until(State::of(guest), total);
        if !self.json {
            println!("{arch:<8} {} min: {course}", self.minutes);
        }
        Ok(course.to_json(arch, self.minutes))
    }

    /// One stretch of bursts.
    fn bursts(&self, guest: &TestGuest) -> Result<Tally> {
        let (host, port) = guest.address(80, Protocol::Http)?;
        // Not by its path, at which cargo may put another one meanwhile.
        let mut client = Command::new(format!("/proc/{}/exe", std::process::id()));
        client.args(["bench", "burst", &format!("{host}:{port}")]);
        client.arg(paths::repository().join("examples/http/site"));
        client.args([STRETCH.as_secs().to_string(), self.patience.to_string()]);
        let printed = tools::output(&mut guest.client(&client));
        if interrupted() {
            bail!("interrupted");
        }
        printed?.trim().parse()
    }
}

/// What the host knows of a guest at some time.
struct State {
    memory_used: u64,
    waited: Duration,
}

impl State {
    fn of(guest: &TestGuest) -> Self {
        Self {
            memory_used: guest.memory_used().unwrap_or_default(),
            waited: guest.processors().unwrap_or_default().waited,
        }
    }

    /// What has come of the bursts since.
    fn until(&self, now: Self, tally: Tally) -> Course {
        Course {
            tally,
            memory_before: self.memory_used,
            memory_used: now.memory_used,
            waited: now.waited.saturating_sub(self.waited),
        }
    }
}

/// How it went for some time.
struct Course {
    tally: Tally,
    /// KiB of its memory that the guest had used before, and has used now.
    memory_before: u64,
    memory_used: u64,
    /// For how long QEMU waited for processors meanwhile.
    waited: Duration,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { requests, slowest, slowest_connection } = self.tally;
        write!(
            f,
            "{requests} requests, slowest {} ms, slowest connection {} ms; memory used {} KiB, \
             before {} KiB; waited {} ms for processors",
            slowest.as_millis(),
            slowest_connection.as_millis(),
            self.memory_used,
            self.memory_before,
            self.waited.as_millis()
        )
    }
}

impl Course {
    fn to_json(&self, arch: Arch, minutes: u64) -> Value {
        let Tally { requests, slowest, slowest_connection } = self.tally;
        json!({
            "arch": arch.name(),
            "minutes": minutes,
            "requests": requests,
            "slowest_ms": milliseconds(slowest),
            "slowest_connection_ms": milliseconds(slowest_connection),
            "memory_before_kib": self.memory_before,
            "memory_used_kib": self.memory_used,
            "waited_ms": milliseconds(self.waited),
        })
    }
}

/// JSON has no number for all that a `u128` may be.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_is_told_in_words_and_in_json() {
        let before = State { memory_used: 100, waited: Duration::from_millis(5) };
        let now = State { memory_used: 120, waited: Duration::from_millis(8) };
        let tally = Tally {
            requests: 7,
            slowest: Duration::from_millis(2),
            slowest_connection: Duration::from_millis(1),
        };
        let course = before.until(now, tally);
        let words = course.to_string();
        assert!(words.starts_with("7 requests, slowest 2 ms") && words.contains("before 100 KiB"));
        let json = course.to_json(Arch::Armv7, 60);
        assert_eq!((&json["arch"], &json["waited_ms"]), (&json!("armv7"), &json!(3)));
        assert_eq!(json["memory_used_kib"], 120);
    }
}
