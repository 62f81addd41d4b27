//! The client of `bench linux` for many bytes, run by it on the guest's network.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;
/// How long a peer may take to take or give some bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time before bytes are counted, so that windows have grown.
const WARM_UP: Duration = Duration::from_millis(500);

/// The way that the bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// To the guest, which discards them.
    Send,
    /// From the guest, which makes them up.
    Receive,
}

/// Moves bytes for a while, and prints how many in a second.
#[derive(Args)]
pub struct Options {
    /// The way that the bytes take.
    way: Way,
    /// Where the guest listens.
    address: SocketAddr,
    /// For how long.
    seconds: u64,
}

impl Options {
    /// Measures, and prints a number.
    pub fn execute(&self) -> Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut buffer = vec![0; CHUNK];
        self.moved(&mut stream, &mut buffer, WARM_UP)?;
        let rate = self.moved(&mut stream, &mut buffer, Duration::from_secs(self.seconds))?;
        println!("{rate:.0}");
        Ok(())
    }

    /// Bytes in a second.
    fn moved(&self, stream: &mut TcpStream, buffer: &mut [u8], time: Duration) -> Result<f64> {
        let start = Instant::now();
        let mut total = 0;
        while start.elapsed() < time {
            let count = match self.way {
                Way::Send => stream.write(buffer),
                Way::Receive => stream.read(buffer),
            };
            let count = count.context("the guest stalls")?;
            ensure!(count > 0, "the guest has closed the connection");
            total += count;
        }
        Ok(total as f64 / start.elapsed().as_secs_f64())
    }
}
