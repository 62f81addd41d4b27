//! `test`: everything that can be checked on this machine.
//!
//! In order: host tests ([`host`]), those that need a nightly compiler ([`nightly`]), the examples
//! as Linux processes, then for each architecture the images themselves ([`images`]), the commands
//! that people type ([`commands`]), the test guests ([`guests`], and [`peers`] for those that talk with
//! programs), the examples with real clients ([`examples`]); and at last those under Xen ([`lab`]).
//! To add a test guest, add a file to `tests/guests/src/bin`; to add a check of an example, add a
//! function to its file in `xtask/src/test/examples` and a line to its list.

use anyhow::{Result, ensure};
use clap::Args;

use crate::arch::{Arch, ArchChoice};
use crate::build::How;
use crate::lab::Xen;
use crate::run::interrupted;
use crate::{setup, ui};

mod burst;
mod case;
mod commands;
mod crowd;
mod damaged;
mod directives;
mod examples;
mod guest;
mod guests;
mod host;
mod images;
mod in_the_way;
mod lab;
mod loader;
mod namespace;
mod nightly;
mod outside;
mod peers;
mod runner;
mod stub;
mod tables;
mod typed;
mod variant;

pub use burst::Options as Burst;
use case::Case;
pub use crowd::Options as Crowd;
pub use guest::TestGuest;
pub use namespace::{INTERFACE, Namespace};
pub use nightly::programs as nightly_programs;
pub use outside::busiest_thread;
use runner::Runner;
pub use runner::Tally;

/// Runs the tests: on the host, in QEMU, and of the examples with real clients.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask test                      everything
  cargo xtask test --list               the names of all tests
  cargo xtask test guests/ --arch armv7
  cargo xtask test http --repeat 20     whatever has http in its name, twenty times
  cargo xtask test --host-only

The last line is `N passed, N failed`; the exit status is 0 if none failed. If tests could not be
run, the line before says how many and why.")]
pub struct Options {
    /// Runs only tests with one of these words in their names.
    filter: Vec<String>,
    /// Prints the names of the tests and runs none.
    #[arg(long)]
    list: bool,
    /// Architectures to test.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// Runs only the tests that need no guest.
    #[arg(long)]
    host_only: bool,
    /// Runs only the tests that need guests.
    #[arg(long, conflicts_with = "host_only")]
    guests_only: bool,
    /// Tests the images that ship instead of those for development.
    #[arg(long)]
    release: bool,
    /// Runs all of it so many times.
    #[arg(long, value_name = "N", default_value_t = 1)]
    repeat: u32,
    /// Guests that run at the same time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Counts a test that cannot be run here as failed, unless it needs a nightly toolchain.
    #[arg(long)]
    no_skips: bool,
}

impl Options {
    /// Runs the tests; the exit status is 1 if one has failed.
    pub fn execute(&self) -> Result<u8> {
        let tally = self.run()?;
        if !self.list {
            ensure!(
                !tally.is_empty(),
                "no test is called so; `cargo xtask test --list`, with the same options, prints the names"
            );
            println!("{tally}");
        }
        Ok(u8::from(tally.failed > 0))
    }

    /// Everything, as `cargo xtask ci` runs it.
    pub fn everything() -> Self {
        Self {
            filter: Vec::new(),
            list: false,
            arch: ArchChoice::All,
            host_only: false,
            guests_only: false,
            release: false,
            repeat: 1,
            jobs: 2,
            no_skips: true,
        }
    }

    /// The guests once more, as they ship.
    pub fn as_shipped() -> Self {
        Self { guests_only: true, release: true, ..Self::everything() }
    }

    /// Runs the tests, and counts.
    pub fn run(&self) -> Result<Tally> {
        let mut runner = Runner::new(self.jobs, self.list).with_no_skips(self.no_skips);
        for round in 1..=self.repeat {
            if self.repeat > 1 {
                ui::progress("Round", format_args!("{round} of {}", self.repeat));
            }
            if !self.guests_only {
                self.run_on_host(&mut runner)?;
            }
            if !self.host_only {
                for &arch in self.arch.list() {
                    self.run_guests(arch, &mut runner)?;
                }
                self.run_under_xen(&mut runner)?;
            }
        }
        Ok(runner.tally())
    }

    /// Runs what needs no guest.
    fn run_on_host(&self, runner: &mut Runner) -> Result<()> {
        runner.one_by_one(self.chosen(host::cases()?));
        runner.one_by_one(self.chosen(nightly::cases()));
        let how = How { release: self.release, ..How::default() };
        let on_unix = self.chosen(examples::cases_on_unix(&how));
        self.need(on_unix.len(), &examples::PROGRAMS)?;
        runner.one_by_one(on_unix);
        Ok(())
    }

    /// Runs what needs guests of one architecture.
    fn run_guests(&self, arch: Arch, runner: &mut Runner) -> Result<()> {
        let how = How { release: self.release, ..How::default() };
        let mut guests = self.chosen(guests::cases(arch, &how)?);
        guests.extend(self.chosen(damaged::cases(arch, &how)?));
        guests.extend(self.chosen(in_the_way::cases(arch, &how)?));
        guests.extend(self.chosen(tables::cases(arch, &how)?));
        let with_peers = self.chosen(peers::cases(arch, &how)?);
        self.need(with_peers.len(), &peers::PROGRAMS)?;
        guests.extend(with_peers);
        let examples = self.chosen(examples::cases(arch, &how));
        self.need(guests.len() + examples.len(), &[arch.qemu()])?;
        self.need(examples.len(), &examples::PROGRAMS)?;
        runner.one_by_one(self.chosen(images::cases(arch, &how)));
        self.run_commands(arch, runner)?;
        self.build_and_run(runner, guests, &|names| guests::compile(arch, &how, names));
        self.build_and_run(runner, examples, &|names| examples::compile(arch, &how, names));
        Ok(())
    }

    /// Runs the commands that people type. They say themselves how images are built.
    fn run_commands(&self, arch: Arch, runner: &mut Runner) -> Result<()> {
        if self.release {
            return Ok(());
        }
        let groups = commands::groups(arch).into_iter().map(|cases| self.chosen(cases));
        let groups: Vec<Vec<Case>> = groups.collect();
        let count = groups.iter().flatten().count();
        self.need(count, &[arch.qemu()])?;
        self.need(count, &commands::PROGRAMS)?;
        runner.groups(groups);
        Ok(())
    }

    /// Runs what needs the lab.
    fn run_under_xen(&self, runner: &mut Runner) -> Result<()> {
        let how = How { release: self.release, ..How::default() };
        let groups = lab::groups(self.arch.list(), &how)?.into_iter();
        let groups: Vec<Vec<Case>> = groups.map(|cases| self.chosen(cases)).collect();
        let names: Vec<String> = groups.iter().flatten().map(|case| case.name.clone()).collect();
        let machines = self.arch.list().iter().map(|&arch| Xen::of(arch).arch().qemu());
        self.need(names.len(), &machines.collect::<Vec<_>>())?;
        let built = self.build(&|| lab::compile(self.arch.list(), &how, &names));
        match built {
            Ok(()) => runner.groups(groups),
            Err(error) => runner.one_by_one(failing(&names, &error)),
        }
        Ok(())
    }

    /// Sees to it that the programs are there that so many tests use.
    fn need(&self, tests: usize, programs: &[&str]) -> Result<()> {
        if tests == 0 || self.list { Ok(()) } else { setup::programs(programs) }
    }

    /// Builds the images that tests use, all together because that is quicker, and runs the tests.
    fn build_and_run(
        &self,
        runner: &mut Runner,
        cases: Vec<Case>,
        compile: &dyn Fn(&[String]) -> Result<()>,
    ) {
        let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        let built = self.build(&|| compile(&names));
        match built {
            Ok(()) => runner.side_by_side(cases),
            Err(error) => runner.one_by_one(failing(&names, &error)),
        }
    }

    /// Builds what tests need, unless they are only listed, or nobody waits for them any more.
    fn build(&self, build: &dyn Fn() -> Result<()>) -> Result<()> {
        ensure!(!interrupted(), "interrupted");
        if self.list { Ok(()) } else { build() }
    }

    /// The cases that the command line asks for.
    fn chosen(&self, mut cases: Vec<Case>) -> Vec<Case> {
        let asked = |case: &Case| {
            self.filter.is_empty() || self.filter.iter().any(|word| case.name.contains(word))
        };
        cases.retain(asked);
        cases
    }
}

/// Tests that have failed, since what they need could not be built.
fn failing(names: &[String], error: &anyhow::Error) -> Vec<Case> {
    let reason = format!("{error:#}");
    names.iter().map(|name| Case::failing(name, &reason)).collect()
}
