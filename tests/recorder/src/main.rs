//! Records connections for guests that are not there yet: `recorder ADDRESS...`, in dom0.
//!
//! It listens to all network interfaces. A SYN for one of the addresses is written to XenStore as
//! Synjitsu has published it, unless the guest says that it is there; nothing is answered. What
//! becomes of it is printed, a line for each step:
//!
//! ```text
//! recorded 10.99.0.1:40000 to 10.99.0.5:80
//! repeated 10.99.0.1:40000
//! announced 10.99.0.5
//! answered 10.99.0.1:40000 with the number recorded
//! asked again 10.99.0.1:40000
//! ```
//!
//! The last line is of a client that asks again although it was answered, or the guest has said that
//! it is there.
#![forbid(unsafe_code)]

mod frame;
mod store;

use std::collections::HashMap;
use std::io::{self, Write};
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};

use frame::Segment;

/// All Ethernet types (`ETH_P_ALL` in linux/if_ether.h).
const EVERYTHING: u16 = 3;

/// What is seen again within that time is the same frame.
const SAME: Duration = Duration::from_millis(500);

/// What is known of a client's connection.
struct Client {
    sequence: u32,
    own_sequence: u32,
    is_answered: bool,
    /// When it last asked.
    asked: Instant,
}

/// Connections by the client's end and the guest's.
type Clients = HashMap<(SocketAddrV4, SocketAddrV4), Client>;

fn main() -> io::Result<()> {
    let addresses: Result<Vec<Ipv4Addr>, _> = std::env::args().skip(1).map(|a| a.parse()).collect();
    let addresses = addresses.unwrap_or_default();
    if addresses.is_empty() {
        eprintln!("usage: recorder ADDRESS...");
        std::process::exit(2);
    }
    store::prepare()?;
    let protocol = std::num::NonZeroU32::new(u32::from(EVERYTHING.to_be()));
    let socket = socket(AddressFamily::PACKET, SocketType::RAW, protocol.map(Protocol::from_raw))?;
    say(format_args!("listening for {addresses:?}"));
    let mut clients = Clients::new();
    let mut buffer = [0; 65_536];
    loop {
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
        if let Some(address) = frame::announced(&buffer[..length])
            && addresses.contains(&address)
        {
            say(format_args!("announced {address}"));
        }
        let Some(segment) = Segment::parse(&buffer[..length]) else { continue };
        if segment.is_request() && addresses.contains(segment.to.ip()) {
            request(&mut clients, &segment)?;
        } else if segment.is_answer() && addresses.contains(segment.from.ip()) {
            answer(&mut clients, &segment);
        }
    }
}

/// A client wants a connection. Every frame is seen several times, on one interface after the other,
/// and Linux asks again after a second at the earliest.
fn request(clients: &mut Clients, segment: &Segment) -> io::Result<()> {
    let ends = (segment.from, segment.to);
    let known = clients.get_mut(&ends).filter(|client| client.sequence == segment.sequence);
    if let Some(client) = known {
        if mem::replace(&mut client.asked, Instant::now()).elapsed() >= SAME {
            let is_late = client.is_answered || store::is_managed(*segment.to.ip())?;
            let what = if is_late { "asked again" } else { "repeated" };
            say(format_args!("{what} {}", segment.from));
        }
        return Ok(());
    }
    let own_sequence = sequence()?;
    let (sequence, asked) = (segment.sequence, Instant::now());
    let client = Client { sequence, own_sequence, is_answered: false, asked };
    clients.insert(ends, client);
    if store::is_managed(*segment.to.ip())? {
        return Ok(());
    }
    store::record(segment, own_sequence)?;
    say(format_args!("recorded {} to {}", segment.from, segment.to));
    Ok(())
}

/// A guest has answered a client.
fn answer(clients: &mut Clients, segment: &Segment) {
    let Some(client) = clients.get_mut(&(segment.to, segment.from)) else { return };
    if client.is_answered || segment.acknowledgement != client.sequence.wrapping_add(1) {
        return;
    }
    client.is_answered = true;
    let number = match segment.sequence == client.own_sequence {
        true => "the number recorded",
        false => "a number of its own",
    };
    say(format_args!("answered {} with {number}", segment.to));
}

/// An initial sequence number, in the range that Synjitsu takes.
fn sequence() -> io::Result<u32> {
    let mut random = [0; 2];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
    Ok(0x1afe_0000 + u32::from(u16::from_le_bytes(random)))
}

fn say(line: std::fmt::Arguments<'_>) {
    // There is nobody else to tell.
    let _ = writeln!(io::stdout(), "{line}");
}
