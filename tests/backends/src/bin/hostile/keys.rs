//! Nodes in XenStore that make no sense.

use self::Then::{Refused, Waits, Works};
use crate::disk::Disk;
use crate::guest::{Device, Guest, Outcome, until};
use crate::harm::Peer;
use crate::net::Net;

/// What is to come of it.
#[derive(Clone, Copy)]
enum Then {
    /// The device is refused.
    Refused,
    /// It works all the same.
    Works,
    /// The front end waits for what makes sense.
    Waits,
}

/// A node and its value.
type Node = (&'static str, &'static [u8]);

/// A device with such nodes, of the back end and of the front end.
struct Case(&'static str, &'static [Node], &'static [Node], Then);

/// As many digits as a value can have, and a path that is too long.
const DIGITS: &[u8] = &[b'9'; 4000];
const LONG: &[u8] = &[b'/'; 4000];
const NOT_TEXT: &[u8] = b"\xff\xfe\x80 1";
const NUL: &[u8] = b"1\0\x002";

const DISK: &[Case] = &[
    Case("no-sectors", &[("sectors", b"")], &[], Refused),
    Case("negative-sectors", &[("sectors", b"-1")], &[], Refused),
    Case("sectors-of-digits", &[("sectors", DIGITS)], &[], Refused),
    Case("sectors-with-nul", &[("sectors", NUL)], &[], Refused),
    Case("sectors-not-text", &[("sectors", NOT_TEXT)], &[], Refused),
    Case("sectors-overflow", &[("sectors", b"18446744073709551615")], &[], Works),
    Case(
        "bytes-overflow",
        &[("sectors", b"18446744073709551615"), ("sector-size", b"4096")],
        &[],
        Works,
    ),
    Case("sector-size-0", &[("sector-size", b"0")], &[], Refused),
    Case("sector-size-3", &[("sector-size", b"3")], &[], Refused),
    Case("sector-size-513", &[("sector-size", b"513")], &[], Refused),
    Case("sector-size-2-to-40", &[("sector-size", b"1099511627776")], &[], Refused),
    Case("sector-size-of-digits", &[("sector-size", DIGITS)], &[], Refused),
    Case("ring-page-order", &[("max-ring-page-order", b"4294967295")], &[], Works),
    Case("ring-page-order-negative", &[("max-ring-page-order", b"-1")], &[], Works),
    Case("segments", &[("feature-max-indirect-segments", b"4294967295")], &[], Works),
    Case("segments-of-digits", &[("feature-max-indirect-segments", DIGITS)], &[], Works),
    Case("feature-2", &[("feature-flush-cache", b"2"), ("feature-barrier", b"-1")], &[], Works),
    Case("info-nonsense", &[("info", NOT_TEXT)], &[], Works),
    Case("domain-with-nul", &[], &[("backend-id", b"0\0")], Waits),
    Case("no-domain", &[], &[("backend-id", b"65535")], Waits),
    Case("negative-domain", &[], &[("backend-id", b"-1")], Waits),
    Case("domain-of-digits", &[], &[("backend-id", DIGITS)], Waits),
    Case("path-too-long", &[], &[("backend", LONG)], Refused),
    Case("path-with-nul", &[], &[("backend", b"/local\0/domain")], Refused),
    Case("path-not-text", &[], &[("backend", NOT_TEXT)], Waits),
    Case("path-empty", &[], &[("backend", b"")], Waits),
];

const NET: &[Case] = &[
    Case("no-copying", &[("feature-rx-copy", b"0")], &[], Refused),
    Case("copying-not-text", &[("feature-rx-copy", NOT_TEXT)], &[], Refused),
    Case("copying-2", &[("feature-rx-copy", b"2")], &[], Works),
    Case("mac-of-a-group", &[], &[("mac", b"01:00:5e:00:00:01")], Refused),
    Case("mac-of-nobody", &[], &[("mac", b"00:00:00:00:00:00")], Refused),
    Case("mac-of-digits", &[], &[("mac", DIGITS)], Refused),
    Case("mac-not-text", &[], &[("mac", NOT_TEXT)], Refused),
    Case("mac-with-nul", &[], &[("mac", b"00:16:3e:00:00:01\0")], Refused),
    Case("mtu-0", &[], &[("mtu", b"0")], Works),
    Case("mtu-huge", &[], &[("mtu", b"4294967295")], Works),
    Case("mtu-of-digits", &[], &[("mtu", DIGITS)], Works),
    Case("carrier-nonsense", &[("carrier", NUL)], &[], Works),
    Case("features-nonsense", &[("feature-sg", NUL), ("feature-gso-tcpv4", b"x")], &[], Works),
];

/// Devices with these, one after the other: with all, or those that have one of the names.
pub fn run(
    guest: &Guest,
    names: &[String],
    report: &mut dyn FnMut(&str, Outcome) -> Outcome,
) -> Outcome {
    let is_wanted = |case: &&Case| names.is_empty() || names.iter().any(|wanted| wanted == case.0);
    let disks: Vec<_> = DISK.iter().filter(is_wanted).collect();
    let nets: Vec<_> = NET.iter().filter(is_wanted).collect();
    let mut kept = (Vec::new(), Vec::new());
    guest.prepare(Disk::CLASS, (0..disks.len()).map(Disk::number))?;
    guest.prepare(Net::CLASS, (0..nets.len()).map(Net::number))?;
    for (index, case) in disks.into_iter().enumerate() {
        kept.0.push(device::<Disk<'_>>(guest, index, case, report)?);
    }
    for (index, case) in nets.into_iter().enumerate() {
        kept.1.push(device::<Net<'_>>(guest, index, case, report)?);
    }
    crate::harm::is_idle(guest)
}

fn device<'a, P: Peer<'a>>(
    guest: &'a Guest,
    index: usize,
    Case(name, back, front, then): &Case,
    report: &mut dyn FnMut(&str, Outcome) -> Outcome,
) -> Outcome<P> {
    let mut peer = P::new(guest.device(P::CLASS, index, P::number(index)));
    let outcome = try_out(&mut peer, back, front, *then);
    report(&format!("{} {name}", P::CLASS), outcome)?;
    Ok(peer)
}

fn try_out<'a, P: Peer<'a>>(peer: &mut P, back: &[Node], front: &[Node], then: Then) -> Outcome {
    match then {
        Works => {
            peer.connect_with(back, front)?;
            peer.works()?;
        }
        Refused => {
            peer.begin(back, front)?;
            // It may have to be connected to know.
            until("the end", || {
                let device = peer.device();
                if device.front("state")? == "4" {
                    device.put("state", "4")?;
                }
                Ok(device.status()?.starts_with("ended").then_some(()))
            })?;
            peer.device().ends("such")?;
        }
        Waits => {
            peer.begin(back, front)?;
            peer.device().waits()?;
        }
    }
    let Device { guest, index, .. } = peer.device();
    guest.ask(&format!("stop {index}")).map(drop)
}
