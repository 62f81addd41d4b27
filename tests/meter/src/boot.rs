//! How long a guest takes until it answers: pings and attempts to connect go out all the time, and
//! the first answer of each kind counts.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, connect, ipproto,
    recv, send, sendto, socket_with, sockopt,
};

use crate::http::REQUEST;
use crate::{Outcome, PATIENCE, domctl};

/// Time between two attempts: at first, and as a part of the time that has passed. So the probes do
/// not take more from a guest that is slow to boot, and do not count more for one that is quick.
const INTERVAL: Duration = Duration::from_millis(2);
const PART: u32 = 50;

/// Attempts to connect that are waited for. Older ones have been lost.
const ATTEMPTS: usize = 32;

/// An echo request (RFC 792): type, code, checksum, identifier, sequence number.
const PING: [u8; 8] = [8, 0, 0xf7 - 0x6d, 0xff - 0x61, 0x6d, 0x61, 0, 0];

/// From the start of `xl create`.
pub fn create(configuration: &str, address: Ipv4Addr) -> Outcome<String> {
    let start = Instant::now();
    let mut xl = xl(&["create", configuration]).spawn()?;
    let answers = probe(address, start, Some(&mut xl))?;
    xl.wait()?;
    Ok(answers)
}

/// From the hypercall that lets a guest run.
pub fn unpause(name: &str, address: Ipv4Addr) -> Outcome<String> {
    let id = domain(name)?;
    let start = Instant::now();
    domctl::unpause(id)?;
    probe(address, start, None)
}

/// The number of a guest.
pub fn domain(name: &str) -> Outcome<u16> {
    let id = xl(&["domid", name]).stdout(Stdio::piped()).output()?.stdout;
    Ok(str::from_utf8(&id)?.trim().parse()?)
}

fn xl(arguments: &[&str]) -> Command {
    let mut xl = Command::new("xl");
    xl.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    xl
}

/// Microseconds from `start` to the first answer to a ping and to the first byte by HTTP.
fn probe(address: Ipv4Addr, start: Instant, mut xl: Option<&mut Child>) -> Outcome<String> {
    let raw = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::NONBLOCK,
        Some(ipproto::ICMP),
    )?;
    let mut web = Web { address, attempts: Vec::new(), asked: None, answered: None };
    let mut pinged = None;
    let mut next = start;
    while pinged.is_none() || web.answered.is_none() {
        if start.elapsed() > PATIENCE {
            return Err(format!("no answer; ping: {pinged:?}, HTTP: {:?}", web.answered).into());
        }
        if let Some(status) = xl.as_mut().and_then(|xl| xl.try_wait().transpose()).transpose()?
            && !status.success()
        {
            return Err(format!("xl: {status}").into());
        }
        let now = Instant::now();
        if now >= next {
            if pinged.is_none() {
                // Before the interface of the guest is there, nobody takes it.
                let _ = sendto(&raw, &PING, SendFlags::empty(), &SocketAddrV4::new(address, 0));
            }
            web.try_again()?;
            next = now + INTERVAL.max(start.elapsed() / PART);
        }
        wait(&raw, &web, next.saturating_duration_since(Instant::now()))?;
        if pinged.is_none() && is_answered(&raw, address)? {
            pinged = Some(start.elapsed());
        }
        if web.look()? {
            web.answered = Some(start.elapsed());
        }
    }
    let micros = |time: Option<Duration>| time.unwrap_or_default().as_micros();
    Ok(format!("{} {}", micros(pinged), micros(web.answered)))
}

/// Until something has come, or so much time has passed.
fn wait(raw: &OwnedFd, web: &Web, time: Duration) -> io::Result<()> {
    let mut sockets = vec![PollFd::new(raw, PollFlags::IN)];
    match &web.asked {
        Some(asked) => sockets.push(PollFd::new(asked, PollFlags::IN)),
        None => sockets.extend(web.attempts.iter().map(|one| PollFd::new(one, PollFlags::OUT))),
    }
    let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    match poll(&mut sockets, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the answer to a ping is among what has come: type 0, after an IPv4 header.
fn is_answered(raw: &OwnedFd, address: Ipv4Addr) -> io::Result<bool> {
    let mut packet = [0; 256];
    loop {
        match recv(raw, &mut packet, RecvFlags::empty()) {
            Ok(_) => {
                let from = packet.get(12..16).is_some_and(|from| from == address.octets());
                if from && packet.get(20) == Some(&0) {
                    return Ok(true);
                }
            }
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Attempts to get a page.
struct Web {
    address: Ipv4Addr,
    attempts: Vec<OwnedFd>,
    /// The connection that came about first.
    asked: Option<OwnedFd>,
    answered: Option<Duration>,
}

impl Web {
    /// Asks for another connection: a lost SYN would only be sent again after a second.
    fn try_again(&mut self) -> io::Result<()> {
        if self.asked.is_some() {
            return Ok(());
        }
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Err(Errno::INPROGRESS) = connect(&socket, &SocketAddrV4::new(self.address, 80)) {
            if self.attempts.len() == ATTEMPTS {
                self.attempts.remove(0);
            }
            self.attempts.push(socket);
        }
        Ok(())
    }

    /// Asks for the page as soon as there is a connection; tells whether its first byte has come.
    fn look(&mut self) -> io::Result<bool> {
        if self.asked.is_none() {
            // A refusal has an error; what has neither is not connected yet.
            let is_up = |one: &OwnedFd| send(one, REQUEST, SendFlags::NOSIGNAL).is_ok();
            let Some(up) = self.attempts.iter().position(is_up) else {
                self.attempts.retain(|one| matches!(sockopt::socket_error(one), Ok(Ok(()))));
                return Ok(false);
            };
            self.asked = Some(self.attempts.swap_remove(up));
            self.attempts.clear();
        }
        let Some(asked) = &self.asked else { return Ok(false) };
        match recv(asked, &mut [0; 64], RecvFlags::empty()) {
            Ok((_, 0)) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(self.answered.is_none()),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
