//! Sends bytes to a guest that sends them back, and checks them: it is told to on TCP port 4, by a
//! line with an address and a number of bytes. They go to port 7 of the guest, by TCP, and some of
//! them by UDP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// Bytes that are on their way at a time.
const CHUNK: usize = 8 * 1024;
/// Datagrams, and bytes in each.
const DATAGRAMS: u32 = 100;
const SMALL: usize = 1000;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves in the background.
pub fn start() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 4))?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = match told(&stream) {
                Ok(answer) => answer,
                Err(error) => format!("{error}\n"),
            };
            // Who is gone does not want to know.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(())
}

fn told(stream: &TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let bad = |error| io::Error::new(io::ErrorKind::InvalidData, format!("`{line}`: {error}"));
    let (address, bytes) = line.trim().split_once(' ').ok_or_else(|| bad("no number".into()))?;
    let address: Ipv4Addr = address.parse().map_err(|error| bad(format!("{error}")))?;
    let bytes: usize = bytes.parse().map_err(|error| bad(format!("{error}")))?;
    by_tcp(address, bytes)?;
    by_udp(address)?;
    Ok(format!("{bytes} bytes and {DATAGRAMS} datagrams came back as they were\n"))
}

fn by_tcp(address: Ipv4Addr, bytes: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&(address, 7).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (mut sent, mut received) = (vec![0; CHUNK], vec![0; CHUNK]);
    for number in 0..bytes.div_ceil(CHUNK) {
        fill(&mut sent, number as u32);
        stream.write_all(&sent)?;
        stream.read_exact(&mut received)?;
        same(&sent, &received)?;
    }
    Ok(())
}

fn by_udp(address: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((address, 7))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut sent, mut received) = ([0; SMALL], [0; 2 * SMALL]);
    for number in 0..DATAGRAMS {
        fill(&mut sent, number);
        socket.send(&sent)?;
        let count = socket.recv(&mut received)?;
        same(&sent, received.get(..count).unwrap_or_default())?;
    }
    Ok(())
}

/// Bytes that differ from place to place and from time to time.
fn fill(bytes: &mut [u8], seed: u32) {
    for (at, byte) in (0_u32..).zip(bytes) {
        *byte = (at.wrapping_add(seed.wrapping_mul(7919)).wrapping_mul(0x9e37_79b1) >> 24) as u8;
    }
}

fn same(sent: &[u8], received: &[u8]) -> io::Result<()> {
    match sent == received {
        true => Ok(()),
        false => Err(io::Error::other("what came back is not what was sent")),
    }
}
