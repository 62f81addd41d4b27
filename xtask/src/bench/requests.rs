//! `bench requests`: instructions for each UDP echo and each HTTP request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::live::Live;
use super::table::{self, Figure};
use crate::arch::{Arch, ArchChoice};
use crate::run::Protocol;
use crate::ui;

/// Requests before counting starts, and those that are counted.
const WARM_UP: u32 = 200;
const COUNTED: u32 = 2000;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a guest may take to boot.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);

/// Counts the instructions for each UDP echo of 64 bytes and each HTTP request on a connection that
/// is kept.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask bench requests
  cargo xtask bench requests --arch x86_64 --json")]
pub struct Options {
    /// Architectures to measure.
    #[arg(long, value_enum, default_value = "all")]
    arch: ArchChoice,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Measures, and prints.
    pub fn execute(&self) -> Result<()> {
        let mut figures = Vec::new();
        for &arch in self.arch.list() {
            ui::progress("Counting", format_args!("requests on {arch}"));
            let unit = "instructions";
            figures.push(Figure { name: "UDP echo", arch, value: Some(udp(arch)?), unit });
            figures.push(Figure { name: "HTTP request", arch, value: Some(http(arch)?), unit });
        }
        table::print(&figures, self.json);
        Ok(())
    }
}

/// Calls `request` until it is warm, then counts.
fn count(live: &Live, mut request: impl FnMut() -> Result<()>) -> Result<u64> {
    for _ in 0..WARM_UP {
        request()?;
    }
    let before = live.counter.instructions();
    for _ in 0..COUNTED {
        request()?;
    }
    Ok((live.counter.instructions() - before) / u64::from(COUNTED))
}

fn udp(arch: Arch) -> Result<u64> {
    let live = Live::start("echo", arch)?;
    let port = live.guest.port(7, Protocol::Udp)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut answer = [0; 128];
    let mut exchange = || -> Result<()> {
        socket.send(&[0x55; 64])?;
        socket.recv(&mut answer).context("no echo")?;
        Ok(())
    };
    // Until QEMU listens, datagrams are refused at once, and while the guest boots, they are lost.
    let deadline = Instant::now() + BOOT_PATIENCE;
    while exchange().is_err() {
        ensure!(Instant::now() < deadline, "echo does not answer within {BOOT_PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
    count(&live, exchange)
}

fn http(arch: Arch) -> Result<u64> {
    let mut live = Live::start("http", arch)?;
    let port = live.http_port()?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    // As curl asks, more or less.
    let request = b"GET /robots.txt HTTP/1.1\r\nHost: 10.0.2.15\r\nAccept: */*\r\n\r\n";
    let mut answer = vec![0; 65536];
    count(&live, || {
        stream.write_all(request)?;
        read_answer(&mut stream, &mut answer).map(drop)
    })
}

/// Reads an answer with a `Content-Length`, and gives its length.
pub(super) fn read_answer(stream: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    loop {
        let rest = buffer.get_mut(filled..).filter(|rest| !rest.is_empty());
        let length = stream.read(rest.context("the answer is too long")?)?;
        if length == 0 {
            bail!("the guest closed the connection");
        }
        filled += length;
        let received = buffer.get(..filled).unwrap_or_default();
        if answer_length(received).is_some_and(|total| filled >= total) {
            return Ok(filled);
        }
    }
}

/// The length of an answer, once its head is there.
fn answer_length(received: &[u8]) -> Option<usize> {
    let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(received.get(..end)?).to_lowercase();
    let field = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    Some(end + field.trim().parse::<usize>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(answer_length(answer), Some(answer.len()));
        assert_eq!(answer_length(b"HTTP/1.1 200 OK\r\nContent-"), None);
        let mut buffer = [0; 64];
        read_answer(&mut &answer[..], &mut buffer).unwrap();
        assert!(read_answer(&mut &answer[..10], &mut buffer).is_err());
    }
}
