//! Moves bytes between dom0 and the guest `checked`, both ways at the same time, and sees to it that
//! all of them are checked: `bulk-client ADDRESS MEBIBYTES [CONNECTIONS]`, which are of each way.
//!
//! The bytes are those of a generator of pseudo-random numbers that never repeats itself here, so
//! that one that is lost, repeated, or in another place shows.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;
/// How long the guest may take to accept a connection, and then to give or take some bytes.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [address, mebibytes] => run(address, mebibytes, "1"),
        [address, mebibytes, connections] => run(address, mebibytes, connections),
        _ => Err("what it needs: ADDRESS MEBIBYTES [CONNECTIONS]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulk-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: &str, mebibytes: &str, connections: &str) -> Outcome<()> {
    let (address, mebibytes) = (address.parse()?, mebibytes.parse()?);
    let count: usize = connections.parse()?;
    let pairs = (0..count).map(|_| thread::spawn(move || both_ways(address, mebibytes)));
    let pairs: Vec<_> = pairs.collect();
    pairs.into_iter().try_for_each(|pair| pair.join().map_err(|_| "a thread has panicked")?)
}

fn both_ways(address: IpAddr, mebibytes: usize) -> Outcome<()> {
    let total = mebibytes.checked_mul(1 << 20).ok_or("that is too much")?;
    let sending = thread::spawn(move || send(SocketAddr::new(address, 9), total));
    let received = receive(SocketAddr::new(address, 19), total)?;
    let sent = sending.join().map_err(|_| "the sender has panicked")??;
    for (way, time) in [("to", sent), ("from", received)] {
        let rate = mebibytes as f64 / time.as_secs_f64();
        println!("{mebibytes} MiB {way} the guest, {rate:.1} MiB/s");
    }
    Ok(())
}

/// The guest may not be there yet.
fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Err(_) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(50)),
            result => break result?,
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Returns how long it took.
fn send(address: SocketAddr, total: usize) -> Outcome<Duration> {
    let mut stream = connect(address)?;
    let (start, mut pattern, mut chunk) = (Instant::now(), Pattern::new(), vec![0; CHUNK]);
    for _ in 0..total / CHUNK {
        pattern.fill(&mut chunk);
        stream.write_all(&chunk).map_err(|error| format!("cannot send: {error}"))?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut verdict = String::new();
    stream.read_to_string(&mut verdict).map_err(|error| format!("no verdict: {error}"))?;
    match verdict == format!("{total} bytes are right\n") {
        true => Ok(start.elapsed()),
        false => Err(format!("of {total} bytes, the guest says `{}`", verdict.trim_end()).into()),
    }
}

/// As `send`.
fn receive(address: SocketAddr, total: usize) -> Outcome<Duration> {
    let mut stream = connect(address)?;
    let (start, mut pattern) = (Instant::now(), Pattern::new());
    let (mut expected, mut chunk) = (vec![0; CHUNK], vec![0; CHUNK]);
    for index in 0..total / CHUNK {
        stream.read_exact(&mut chunk).map_err(|error| format!("cannot receive: {error}"))?;
        pattern.fill(&mut expected);
        if let Some(at) = chunk.iter().zip(&expected).position(|(byte, other)| byte != other) {
            return Err(format!("byte {} is wrong", index * CHUNK + at).into());
        }
    }
    Ok(start.elapsed())
}

/// The bytes: xorshift64 (George Marsaglia, "Xorshift RNGs", 2003).
struct Pattern(u64);

impl Pattern {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn fill(&mut self, chunk: &mut [u8]) {
        for word in chunk.as_chunks_mut::<8>().0 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *word = self.0.to_le_bytes();
        }
    }
}
