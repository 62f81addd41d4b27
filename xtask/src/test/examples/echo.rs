//! echo: sends back what it gets, to nc and dig.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::client;
use super::{Check, check};
use crate::run::Protocol;
use crate::test::guest::TestGuest;
use crate::test::variant::LEAST_MEMORY;

pub const CHECKS: &[Check] = &[
    check("tcp", tcp),
    check("udp", udp),
    check("dig", dig),
    Check { own_network: true, ..check("bad-link", bad_link) },
    Check { memory: LEAST_MEMORY, ..check("in-least-memory", tcp) },
];

/// Attempts to get the first answer, while the guest boots.
const ATTEMPTS: u32 = 60;

/// Numbers of four bytes in the stream.
const LENGTH: u32 = 1 << 18;

/// Bytes that are sent at a time on passt, and come back before more are sent: one segment, which
/// closes no window. passt of Debian 12 forgets, once in some fifty transfers on a busy machine, to
/// acknowledge what it has passed on if the guest closes its window at that moment; and then it leaves
/// the guest's retransmissions unanswered, too, which TCP must not do (RFC 9293 section 3.10.7.4).
const PIECE_ON_PASST: usize = 1000;

/// How long a piece may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream of a megabyte comes back as it was, and the connection is closed in order.
fn tcp(guest: &mut TestGuest) -> Result<()> {
    let number = guest.port(7, Protocol::Tcp)?;
    let port = number.to_string();
    first_answer(guest, &["-N", "-w", "1", "127.0.0.1", &port])?;
    if guest.is_on_passt() {
        return comes_back_in_pieces(number);
    }
    let mut nc = Command::new("nc");
    nc.args(["-N", "-w", "20", "127.0.0.1", &port]);
    comes_back(nc, LENGTH)
}

/// The same, each piece on its own.
fn comes_back_in_pieces(port: u16) -> Result<()> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; PIECE_ON_PASST];
    for (number, piece) in numbers(LENGTH).chunks(PIECE_ON_PASST).enumerate() {
        let came = &mut buffer[..piece.len()];
        let failed = || format!("after {} bytes", number * PIECE_ON_PASST);
        connection.write_all(piece).with_context(failed)?;
        connection.read_exact(came).with_context(failed)?;
        ensure!(came == piece, "the bytes that came back are others, {}", failed());
    }
    connection.shutdown(Shutdown::Write)?;
    ensure!(connection.read(&mut buffer)? == 0, "there is more than was sent");
    Ok(())
}

/// A datagram comes back.
fn udp(guest: &mut TestGuest) -> Result<()> {
    let port = guest.port(7, Protocol::Udp)?.to_string();
    first_answer(guest, &["-u", "-w", "1", "127.0.0.1", &port])
}

/// A query of DNS comes back as it was: dig finds its own number, question and cookie in it. On TCP,
/// the length before it comes back, too.
fn dig(guest: &mut TestGuest) -> Result<()> {
    const QUESTION: [&str; 3] = [";echo.example.", "IN", "TXT"];
    udp(guest)?;
    for (protocol, option) in [(Protocol::Udp, "+notcp"), (Protocol::Tcp, "+tcp")] {
        let port = guest.port(7, protocol)?.to_string();
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &port, "+tries=1", "+time=10", option]);
        let output = client::run(dig.args(["echo.example", "TXT"]), &[])?;
        let report = String::from_utf8_lossy(&output.stdout);
        let question = report.lines().find(|line| line.split_whitespace().eq(QUESTION));
        ensure!(question.is_some(), "the question does not come back: {report}");
        ensure!(report.contains("(echoed)"), "the cookie does not come back: {report}");
    }
    Ok(())
}

/// What loses one in 15 packets to the guest, and as many from it, and counts them. A packet may be
/// longer than a frame: the kernel puts segments together.
const LOSS: &str = "
table inet from_guest {
    chain lose {
        type filter hook input priority 0
        iifname tap0 numgen random mod 15 == 0 counter drop
    }
}
table netdev to_guest {
    chain lose {
        type filter hook egress device tap0 priority 0
        numgen random mod 15 == 0 counter drop
    }
}
";

/// On a link that loses frames, the streams of Linux's TCP come back whole and end in order, although
/// both sides send all the time.
fn bad_link(guest: &mut TestGuest) -> Result<()> {
    let (address, port) = guest.address(7, Protocol::Tcp)?;
    let nc = ["-N", "-w", "120", &address, &port.to_string()];
    first_answer(guest, &nc)?;
    let mut nft = Command::new("nft");
    client::run(&mut guest.client(nft.args(["-f", "-"])), LOSS.as_bytes())?;
    std::thread::scope(|scope| {
        let commands = (0..4).map(|_| guest.client(Command::new("nc").args(nc)));
        let clients: Vec<_> = commands.map(|nc| scope.spawn(|| comes_back(nc, 50_000))).collect();
        let join = |client: std::thread::ScopedJoinHandle<'_, _>| client.join();
        clients.into_iter().map(join).try_for_each(|result| result.expect("a client panicked"))
    })?;
    let mut nft = Command::new("nft");
    let rules = client::run(&mut guest.client(nft.args(["list", "ruleset"])), &[])?.stdout;
    let rules = String::from_utf8_lossy(&rules);
    let count = |what: &str| rules.matches(what).count();
    let is_lossy = count("counter packets") == 2 && count("counter packets 0 ") == 0;
    ensure!(is_lossy, "no frame was lost in one of the directions: {rules}");
    Ok(())
}

/// Sends so many numbers by nc, all of which come back.
fn comes_back(mut nc: Command, count: u32) -> Result<()> {
    let stream = numbers(count);
    let came = client::run(&mut nc, &stream)?.stdout;
    ensure!(stream.starts_with(&came), "the bytes that came back are others");
    ensure!(came.len() == stream.len(), "{} of {} bytes came back", came.len(), stream.len());
    Ok(())
}

/// Four bytes for each of so many numbers, all of them different.
fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect()
}

/// Sends a line by nc until it comes back.
fn first_answer(guest: &mut TestGuest, arguments: &[&str]) -> Result<()> {
    const LINE: &[u8] = b"is anyone there?\n";
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match client::run(&mut guest.client(Command::new("nc").args(arguments)), LINE) {
            Ok(output) if output.stdout == LINE => return Ok(()),
            other => last = Some(other),
        }
        // Tells if the guest has ended.
        guest.until("the next attempt", Duration::from_secs(1), |_| Some(()))?;
        std::thread::sleep(Duration::from_millis(200));
    }
    let last = last.context("there was no attempt")??;
    bail!("what comes back is `{}`", String::from_utf8_lossy(&last.stdout))
}
