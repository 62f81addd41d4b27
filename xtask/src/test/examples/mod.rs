//! The examples, used by programs that know nothing of Mayfly: curl, nc, dig, wrk.
//!
//! Each example has a file here with a list of checks. A check gets a running guest and uses it.

use std::time::Duration;

use anyhow::Result;

use super::case::{Case, Failure, Verdict};
use super::guest::TestGuest;
use super::namespace::Namespace;
use super::variant;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};
use crate::run::{Hardware, Network, declared};
use crate::temporary::TemporaryFile;

pub mod client;
mod disk;
mod echo;
mod hello;
mod http;
mod timer;

/// The programs that the checks use.
pub const PROGRAMS: [&str; 5] = ["curl", "nc", "dig", "wrk", "nft"];

/// Seconds after which a guest that should have been quick has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The usual memory.
const MEMORY: &str = "64M";

/// Something to be checked of an example.
struct Check {
    /// What it is called.
    name: &'static str,
    /// Boot arguments of the guest.
    arguments: &'static [&'static str],
    /// Memory of the guest. A guest with less than usual runs only on the usual machine, because
    /// firmware takes its part on others, and only as it ships: development images are large.
    memory: &'static str,
    /// Size of the guest's disk, which is empty, if it has one.
    disk: Option<&'static str>,
    /// Whether the guest and its clients have a network to themselves.
    own_network: bool,
    /// Uses the guest; an error is a failure.
    body: fn(&mut TestGuest) -> Result<()>,
}

/// A check with the usual memory and no boot arguments.
const fn check(name: &'static str, body: fn(&mut TestGuest) -> Result<()>) -> Check {
    Check { name, arguments: &[], memory: MEMORY, disk: None, own_network: false, body }
}

/// The examples and what is checked of each.
const EXAMPLES: [(&str, &[Check]); 5] = [
    ("hello", hello::CHECKS),
    ("timer", timer::CHECKS),
    ("disk", disk::CHECKS),
    ("echo", echo::CHECKS),
    ("http", http::CHECKS),
];

/// The checks on each machine of an architecture.
pub fn cases(arch: Arch, how: &How) -> Vec<Case> {
    let mut cases = Vec::new();
    for (example, checks) in EXAMPLES {
        for check in checks {
            let usual = check.memory == MEMORY;
            let machines = variant::of(arch).iter().take(if usual { usize::MAX } else { 1 });
            for &machine in machines.filter(|_| usual || how.release) {
                let name = format!("examples/{example}/{}/{arch}/{}", check.name, machine.name);
                let how = how.clone();
                cases.push(Case::counting(name, move || {
                    match run(example, check, machine, arch, &how) {
                        Ok(verdict) => verdict,
                        Err(failure) => Verdict::Failed(failure),
                    }
                }));
            }
        }
    }
    cases
}

/// The checks on Linux, as far as they fit there.
pub fn cases_on_unix(how: &How) -> Vec<Case> {
    let mut cases = Vec::new();
    for (example, checks) in EXAMPLES {
        for check in checks.iter().filter(|check| check.memory == MEMORY) {
            let how = how.clone();
            let name = format!("examples/{example}/{}/unix", check.name);
            cases.push(Case::counting(name, move || {
                run_on_unix(example, check, &how).unwrap_or_else(Verdict::Failed)
            }));
        }
    }
    cases
}

/// Starts the example as a Linux process and lets the check use it: on passt, or on a TAP interface
/// if it is to have a network to itself.
fn run_on_unix(example: &str, check: &Check, how: &How) -> Result<Verdict, Failure> {
    let app = App::find(example, None)?;
    let program = build::build_for_host(&app, how)?;
    let arguments: Vec<String> = check.arguments.iter().map(|&word| word.to_owned()).collect();
    let disk = check.disk.map(TemporaryFile::disk).transpose()?;
    let disks = disk.iter().map(|disk| disk.path().to_owned()).collect();
    let hardware = Hardware { disks, ..Hardware::default() };
    let mut guest = if check.own_network {
        if let Err(error) = Namespace::permitted() {
            return Ok(Verdict::Skipped(format!("{error:#}")));
        }
        TestGuest::start_process_in(Namespace::new()?, &program, &hardware, &arguments)?
    } else {
        let ports = declared(&app.metadata)?;
        TestGuest::start_process(&program, &hardware, ports, &arguments)?
    };
    (check.body)(&mut guest).map_err(|error| guest.failure(&error))?;
    Ok(Verdict::Passed(1))
}

/// Builds the examples that the tests called `names` use.
pub fn compile(arch: Arch, how: &How, names: &[String]) -> Result<()> {
    for (example, _) in EXAMPLES {
        if names.iter().any(|name| name.starts_with(&format!("examples/{example}/"))) {
            build::build(&App::find(example, None)?, arch, how)?;
        }
    }
    Ok(())
}

/// Starts the example and lets the check use it.
fn run(
    example: &str,
    check: &Check,
    machine: variant::Variant,
    arch: Arch,
    how: &How,
) -> Result<Verdict, Failure> {
    let app = App::find(example, None)?;
    let image = build::image_of(&app, arch, how, &app.binary);
    let disk = check.disk.map(TemporaryFile::disk).transpose()?;
    let hardware = Hardware {
        memory: variant::memory(check.memory, arch).into(),
        disks: disk.iter().map(|disk| disk.path().to_owned()).collect(),
        ..machine.hardware()
    };
    let arguments: Vec<String> = check.arguments.iter().map(|&word| word.to_owned()).collect();
    let mut guest = if check.own_network {
        if let Err(error) = Namespace::permitted() {
            return Ok(Verdict::Skipped(format!("{error:#}")));
        }
        TestGuest::start_in(Namespace::new()?, &image, hardware, &arguments)?
    } else {
        let network = Network::User(declared(&app.metadata)?);
        TestGuest::start(&image, hardware, network, &arguments)?
    };
    (check.body)(&mut guest).map_err(|error| guest.failure(&error))?;
    Ok(Verdict::Passed(1))
}
