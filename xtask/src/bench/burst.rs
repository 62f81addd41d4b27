//! The client of `bench soak`, run by it on the guest's network: bursts of HTTP requests.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::requests::read_answer;

/// Requests in flight in each burst, in turns.
const IN_FLIGHT: [usize; 2] = [16, 256];
/// Requests on each connection.
const REQUESTS: usize = 8;
/// Quiet times between bursts, in turns: none, too short for the guest to come to rest, and enough.
const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(2),
    Duration::from_millis(15),
    Duration::from_millis(100),
    Duration::from_millis(1200),
];

/// Longest answer.
const BUFFER: usize = 65_536;

/// Asks in bursts for a while, and prints how many requests there were, and the milliseconds of the
/// slowest one and of the slowest connection.
#[derive(Args)]
pub struct Options {
    /// Where the guest listens.
    address: SocketAddr,
    /// The files that it serves.
    site: PathBuf,
    /// For how long.
    seconds: u64,
    /// Seconds after which a request without an answer is a failure.
    patience: u64,
}

/// A file that the guest serves.
struct File {
    path: String,
    contents: Vec<u8>,
}

/// What a burst, or several, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that were answered.
    pub requests: u64,
    /// The slowest of them.
    pub slowest: Duration,
    /// The connection that took longest to be made.
    pub slowest_connection: Duration,
}

impl Options {
    /// Asks, and prints three numbers.
    pub fn execute(&self) -> Result<()> {
        let files = files_in(&self.site)?;
        let deadline = Instant::now() + Duration::from_secs(self.seconds);
        let mut total = Tally::default();
        let turns = IN_FLIGHT.into_iter().cycle().zip(PAUSES.into_iter().cycle());
        for (in_flight, pause) in turns {
            total = total.and(self.burst(&files, in_flight)?);
            if Instant::now() >= deadline {
                break;
            }
            thread::sleep(pause);
        }
        println!("{total}");
        Ok(())
    }

    /// Makes so many connections at once, and asks for files on each.
    fn burst(&self, files: &[File], in_flight: usize) -> Result<Tally> {
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..in_flight).map(|number| scope.spawn(move || self.ask(files, number))).collect();
            clients.into_iter().try_fold(Tally::default(), |total, client| {
                let tally = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                Ok(total.and(tally.with_context(|| format!("with {in_flight} in flight"))?))
            })
        })
    }

    /// Asks for several files on one connection, beginning with that of a number.
    fn ask(&self, files: &[File], number: usize) -> Result<Tally> {
        let (start, patience) = (Instant::now(), Duration::from_secs(self.patience));
        let mut stream =
            TcpStream::connect_timeout(&self.address, patience).context("no connection")?;
        let mut tally = Tally { slowest_connection: start.elapsed(), ..Tally::default() };
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; BUFFER];
        for File { path, contents } in
            files.iter().cycle().skip(number % files.len()).take(REQUESTS)
        {
            let start = Instant::now();
            // In one piece, not as many segments as there are parts.
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n").as_bytes())?;
            let length = read_answer(&mut stream, &mut buffer)
                .with_context(|| format!("no answer about {path} after {:?}", start.elapsed()))?;
            let answer = buffer.get(..length).unwrap_or_default();
            ensure!(
                answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(contents),
                "{path} is answered with something else"
            );
            tally.requests += 1;
            tally.slowest = tally.slowest.max(start.elapsed());
        }
        ensure!(tally.slowest < patience, "an answer took {:?}", tally.slowest);
        Ok(tally)
    }
}

impl Tally {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            slowest: self.slowest.max(other.slowest),
            slowest_connection: self.slowest_connection.max(other.slowest_connection),
        }
    }
}

/// As the client prints it.
impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, slowest, slowest_connection } = self;
        write!(f, "{requests} {} {}", slowest.as_millis(), slowest_connection.as_millis())
    }
}

impl std::str::FromStr for Tally {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [requests, slowest, connection] = numbers[..] else {
            bail!("`{text}` are not three numbers");
        };
        Ok(Self {
            requests,
            slowest: Duration::from_millis(slowest),
            slowest_connection: Duration::from_millis(connection),
        })
    }
}

/// The files in `site` itself.
fn files_in(site: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(site);
    for entry in entries.with_context(|| format!("cannot read {}", site.display()))? {
        let path = entry?.path();
        // The server has no name for its start page but `/`.
        if path.is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            let name = if name == "index.html" { "" } else { name };
            files.push(File { path: format!("/{name}"), contents: std::fs::read(&path)? });
        }
    }
    ensure!(!files.is_empty(), "there are no files in {}", site.display());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_read_as_it_is_printed() {
        let tally = Tally {
            requests: 5,
            slowest: Duration::from_millis(70),
            slowest_connection: Duration::from_millis(8),
        };
        assert_eq!(tally.to_string().parse::<Tally>().unwrap(), tally);
        assert!("5 70".parse::<Tally>().is_err());
        let other = Tally { requests: 1, slowest_connection: Duration::from_secs(1), ..tally };
        assert_eq!(tally.and(other).to_string(), "6 70 1000");
    }
}
