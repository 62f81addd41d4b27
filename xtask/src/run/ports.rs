//! Choosing ports of this machine that nothing uses and that no other guest will be given.
//!
//! Between the choice of a port and QEMU's listening on it another test may choose the same: a
//! look at whether the port is free cannot tell. So each chosen port is reserved, by a listening
//! socket in Linux's abstract namespace (unix(7)) that is named after it: the kernel gives the
//! name to one holder at a time, whichever process asks, and takes it back when the holder ends.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result, bail};

use super::network::{Forward, Protocol};
use crate::ui;

/// Ports tried when the preferred one is in use. Linux gives clients ports from 32768 on (ip(7),
/// `ip_local_port_range`), which no server should count on.
const OTHERS: std::ops::Range<u16> = 20_000..32_768;

/// Chosen ports, which no guest of another test or `run` is given as long as this exists.
#[derive(Debug, Default)]
#[must_use = "the ports are reserved as long as this exists"]
pub struct Reserved(#[expect(dead_code, reason = "held, not read")] Vec<UnixListener>);

/// Gives each forward without a host port one that is free, and reserves it.
///
/// Forwards that ask for a certain port keep it: whether it is in use, [`check`] tells.
///
/// # Errors
/// When no port is free.
pub fn choose_host_ports(forwards: &mut [Forward]) -> Result<Reserved> {
    let mut held = Vec::new();
    for forward in forwards.iter_mut().filter(|forward| forward.host == 0) {
        let (port, reservation) = choose(forward.protocol, preferred(forward.guest))?;
        forward.host = port;
        held.push(reservation);
    }
    Ok(Reserved(held))
}

/// Fails if two forwards ask for the same port of this machine: QEMU's message would not say what to
/// do, and passt would give it to one of them.
///
/// # Errors
/// With the port and those of the guest.
pub fn ensure_different(wanted: &[Forward]) -> Result<()> {
    for (index, forward) in wanted.iter().enumerate().filter(|(_, forward)| forward.host != 0) {
        let is_same = |other: &&Forward| {
            let transport = other.protocol.transport() == forward.protocol.transport();
            other.host == forward.host && transport
        };
        if let Some(other) = wanted[index + 1..].iter().find(is_same) {
            bail!(
                "port {} of this machine cannot lead to both port {} and port {} of the guest; \
                 choose another for one of them",
                forward.host,
                forward.guest,
                other.guest
            );
        }
    }
    Ok(())
}

/// Fails if a port that was `wanted` is in use, and says which ports were `chosen` instead of those
/// that are easier to remember.
///
/// # Errors
/// If nothing can listen at a port that was asked for.
pub fn check(wanted: &[Forward], chosen: &[Forward]) -> Result<()> {
    for (wanted, chosen) in wanted.iter().zip(chosen) {
        let preferred = preferred(chosen.guest);
        if wanted.host != 0 {
            listen(wanted.host, wanted.protocol).with_context(|| {
                format!("cannot listen at port {} of this machine; choose another", wanted.host)
            })?;
        } else if chosen.host != preferred {
            ui::warning(format_args!(
                "port {preferred} of this machine is in use; port {} takes its place",
                chosen.host
            ));
        }
    }
    Ok(())
}

/// The port for a port of the guest that has none: the same number each time is easier to remember;
/// privileged ones are moved up.
fn preferred(guest: u16) -> u16 {
    if guest < 1024 { guest + 8000 } else { guest }
}

/// A free TCP port for a debugger.
///
/// # Errors
/// When no port is free.
pub fn for_debugger() -> Result<(u16, Reserved)> {
    let (port, reservation) = choose(Protocol::Tcp, 1234)?;
    Ok((port, Reserved(vec![reservation])))
}

/// The preferred port, or else another one.
fn choose(protocol: Protocol, preferred: u16) -> Result<(u16, UnixListener)> {
    std::iter::once(preferred)
        .chain(OTHERS)
        .find_map(|port| {
            let reservation = reserve(port, protocol).ok()?;
            is_free(port, protocol).then_some((port, reservation))
        })
        .with_context(|| format!("no port is free of {preferred} and {OTHERS:?}; end some guests"))
}

/// Takes the name of the port, unless somebody has it.
fn reserve(port: u16, protocol: Protocol) -> io::Result<UnixListener> {
    let name = format!("mayfly-{}-{port}", protocol.transport());
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Whether nothing listens on `port` of the loopback address.
fn is_free(port: u16, protocol: Protocol) -> bool {
    listen(port, protocol).is_ok()
}

/// Listens on `port` of the loopback address, and stops that at once.
fn listen(port: u16, protocol: Protocol) -> io::Result<()> {
    let address = (Ipv4Addr::LOCALHOST, port);
    match protocol {
        Protocol::Tcp | Protocol::Http => TcpListener::bind(address).map(drop),
        Protocol::Udp => UdpSocket::bind(address).map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(guest: u16, protocol: Protocol) -> Forward {
        Forward { host: 0, guest, protocol }
    }

    #[test]
    fn two_protocols_may_share_a_number_and_two_guests_may_not() {
        let wanted =
            [forward(7, Protocol::Tcp), forward(7, Protocol::Udp), forward(7, Protocol::Tcp)];
        let mut first = wanted;
        let _first = choose_host_ports(&mut first).unwrap();
        let mut second = wanted;
        let _second = choose_host_ports(&mut second).unwrap();
        let mut tcp = vec![first[0].host, first[2].host, second[0].host, second[2].host];
        tcp.sort_unstable();
        tcp.dedup();
        assert_eq!(tcp.len(), 4);
        assert_ne!(first[1].host, second[1].host);
    }

    #[test]
    fn a_port_is_given_again_when_its_guest_has_ended() {
        let choose = || {
            let mut forwards = [forward(31_999, Protocol::Udp)];
            let reserved = choose_host_ports(&mut forwards).unwrap();
            (forwards[0].host, reserved)
        };
        let (first, reserved) = choose();
        drop(reserved);
        assert_eq!(choose().0, first);
    }

    #[test]
    fn a_port_that_was_asked_for_has_to_be_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = listener.local_addr().unwrap().port();
        let forwards = [Forward { host, guest: 80, protocol: Protocol::Http }];
        let error = check(&forwards, &forwards).unwrap_err().to_string();
        assert!(error.contains(&format!("cannot listen at port {host}")), "{error}");
        drop(listener);
        check(&forwards, &forwards).unwrap();
    }

    #[test]
    fn a_port_of_this_machine_leads_to_one_of_the_guest() {
        let forwards = |texts: &[&str]| -> Vec<Forward> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        ensure_different(&forwards(&["80", "81", "8080:80", "8080:80/udp", "8081:80"])).unwrap();
        let error = ensure_different(&forwards(&["8080:80/http", "7", "8080:81"])).unwrap_err();
        assert!(error.to_string().contains("both port 80 and port 81 of the guest"), "{error}");
    }

    #[test]
    fn a_port_in_use_is_not_chosen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut forwards = [forward(port, Protocol::Tcp)];
        let _reserved = choose_host_ports(&mut forwards).unwrap();
        assert_ne!(forwards[0].host, port);
    }
}
