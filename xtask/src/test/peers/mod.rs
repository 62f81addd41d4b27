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
mod short_connections;
mod two_networks;

/// Tests a guest: this is its image, and what it is to run on.
type Test = fn(&Image, Hardware, Namespace) -> Result<(), Failure>;

/// The programs that they talk with.
pub const PROGRAMS: [&str; 4] = ["nc", "ping", "dig", "dnsmasq"];

/// Whether a test can be run here: an error says why not.
type Permitted = fn() -> Result<()>;

/// A test with a guest.
struct Peer {
    /// The guest, and what else the test is called if it is not the only one with that guest.
    guest: &'static str,
    suffix: &'static str,
    test: Test,
    permitted: Permitted,
    /// Whether it takes so long that one machine of an architecture is enough, and development images.
    is_long: bool,
}

const fn peer(guest: &'static str, test: Test) -> Peer {
    Peer { guest, suffix: "", test, permitted: Namespace::permitted, is_long: false }
}

const PEERS: [Peer; 5] = [
    peer("two_networks", two_networks::test),
    peer("resolve", resolve::test),
    Peer { suffix: "/far", ..peer("resolve", resolve::far) },
    Peer { permitted: autoconfigured::permitted, ..peer("autoconfigured", autoconfigured::test) },
    Peer { is_long: true, ..peer("short_connections", short_connections::test) },
];

/// The tests with guests of an architecture.
pub fn cases(arch: Arch, how: &How) -> Result<Vec<Case>> {
    let app = guests::package()?.app;
    let mut cases = Vec::new();
    for peer in PEERS.iter().filter(|peer| !(peer.is_long && how.release)) {
        let machines = variant::of(arch).iter().take(if peer.is_long { 1 } else { usize::MAX });
        for &machine in machines {
            let image = build::image_of(&app, arch, how, peer.guest);
            let name = format!("guests/{}/{arch}/{}{}", peer.guest, machine.name, peer.suffix);
            cases.push(Case::counting(name, move || {
                run(peer, &image, machine.hardware()).unwrap_or_else(Verdict::Failed)
            }));
        }
    }
    Ok(cases)
}

fn run(peer: &Peer, image: &Image, hardware: Hardware) -> Result<Verdict, Failure> {
    if let Err(error) = (peer.permitted)() {
        return Ok(Verdict::Skipped(format!("{error:#}")));
    }
    (peer.test)(image, hardware, Namespace::new()?)?;
    Ok(Verdict::Passed(1))
}
