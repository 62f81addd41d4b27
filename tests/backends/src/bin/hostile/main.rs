//! Plays back ends that mean harm, in dom0: `hostile DOMAIN disk|net|keys|store|oxenstored [NAME...]`.
//!
//! The guest is `tests/guests/src/bin/hostile_agent.rs`, created without devices. What belongs to
//! devices in XenStore is written here, for both sides, and back ends are where no driver of dom0
//! looks for them. Each way to do harm has a name and a device of its own, which stays until all is
//! over: what must not happen is that the guest stands still, or uses the processor for nothing.
//! A line for each says what came of it:
//!
//! ```text
//! ok index-jumps
//! FAILED unknown-id: the end does not come in 20 s
//! ```

mod daemon;
mod disk;
mod guest;
mod harm;
mod keys;
mod net;
mod ring;
mod store;

use std::process::ExitCode;

use disk::Disk;
use guest::{Guest, Outcome};
use harm::{Peer, Scenario};
use net::Net;

/// After more failures than this, which take their time, the rest is left out.
const MOST_FAILURES: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            println!("{failures} failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("hostile: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many have failed.
fn run(arguments: &[String]) -> Outcome<usize> {
    let [domain, what, names @ ..] = arguments else {
        return Err("what it needs: DOMAIN disk|net|keys|store|oxenstored [NAME...]".into());
    };
    let guest = Guest::new(domain.parse()?)?;
    let mut failures = 0;
    let mut report = |name: &str, outcome: Outcome| {
        match outcome {
            Ok(()) => println!("ok {name}"),
            Err(error) => {
                println!("FAILED {name}: {error}");
                failures += 1;
            }
        }
        if failures > MOST_FAILURES {
            return Err("that is enough".into());
        }
        // Whatever was done, it answers.
        guest.ask("ping").map(drop)
    };
    let outcome = match what.as_str() {
        "disk" => each::<Disk<'_>>(&guest, &disk::scenarios(), names, &mut report),
        "net" => each::<Net<'_>>(&guest, &net::scenarios(), names, &mut report),
        "keys" => keys::run(&guest, names, &mut report),
        "store" => daemon::run(&guest, names, &mut report),
        "oxenstored" => daemon::run_beside_oxenstored(&guest, names, &mut report),
        other => Err(format!("`{other}` is none of disk, net, keys, store, oxenstored").into()),
    };
    guest.clear()?;
    outcome.map(|()| failures)
}

/// Does with devices what there is, or what has one of the names, if there are any.
fn each<'a, P: Peer<'a>>(
    guest: &'a Guest,
    own: &[(&'static str, Scenario<P>)],
    names: &[String],
    report: &mut dyn FnMut(&str, Outcome) -> Outcome,
) -> Outcome {
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let all = own.iter().copied().chain(harm::all());
    let scenarios: Vec<_> = all.filter(|(name, _)| is_wanted(name)).collect();
    let group = if is_wanted(harm::AGAIN_AND_AGAIN) { harm::GROUP } else { 0 };
    guest.prepare(P::CLASS, (0..group + scenarios.len()).map(P::number))?;
    let peer = |index| P::new(guest.device(P::CLASS, index, P::number(index)));
    let mut kept: Vec<P> = (0..group).map(peer).collect();
    if group > 0 {
        report(harm::AGAIN_AND_AGAIN, harm::come_back_again(&mut kept))?;
    }
    for (index, (name, scenario)) in (group..).zip(scenarios) {
        let mut peer = peer(index);
        let outcome = peer.connect().and_then(|()| scenario(&mut peer));
        report(name, outcome)?;
        kept.push(peer);
    }
    harm::is_idle(guest)
}
