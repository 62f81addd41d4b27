//! Test guests that talk with programs that know nothing of Mayfly, on a network that only these
//! and the guest are on.
//!
//! Such a guest says `//@ machine: peers`, so that it is not run alone, and has a file here.

use anyhow::Result;

use super::case::{Case, Failure, Verdict};
use super::guests;
use super::namespace::Namespace;
use super::variant;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::run::Hardware;

mod autoconfigured;
mod dnsmasq;
mod resolve;
mod two_networks;

/// Tests a guest: this is its image, and what it is to run on.
type Test = fn(&Image, Hardware, Namespace) -> Result<(), Failure>;

/// The programs that they talk with.
pub const PROGRAMS: [&str; 4] = ["nc", "ping", "dig", "dnsmasq"];

/// Whether a test can be run here: an error says why not.
type Permitted = fn() -> Result<()>;

/// The guests.
const GUESTS: [(&str, Test, Permitted); 3] = [
    ("two_networks", two_networks::test, Namespace::permitted),
    ("resolve", resolve::test, Namespace::permitted),
    ("autoconfigured", autoconfigured::test, autoconfigured::permitted),
];

/// The tests with guests of an architecture.
pub fn cases(arch: Arch, how: &How) -> Result<Vec<Case>> {
    let app = guests::package()?.app;
    let mut cases = Vec::new();
    for (guest, test, permitted) in GUESTS {
        for &machine in variant::of(arch) {
            let image = build::image_of(&app, arch, how, guest);
            let name = format!("guests/{guest}/{arch}/{}", machine.name);
            cases.push(Case::counting(name, move || {
                run(test, permitted, &image, machine.hardware()).unwrap_or_else(Verdict::Failed)
            }));
        }
    }
    Ok(cases)
}

fn run(
    test: Test,
    permitted: Permitted,
    image: &Image,
    hardware: Hardware,
) -> Result<Verdict, Failure> {
    if let Err(error) = permitted() {
        return Ok(Verdict::Skipped(format!("{error:#}")));
    }
    test(image, hardware, Namespace::new()?)?;
    Ok(Verdict::Passed(1))
}
