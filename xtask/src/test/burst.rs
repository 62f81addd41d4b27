//! Many TCP connections that are opened at once: a client that this program is itself, started once
//! more, since the tests' network is in a namespace that only a new process can enter.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use clap::Args;

/// How long each step of a connection may take. A client whose first segment is not answered asks
/// again after 1, 3, 7 and 15 seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens connections at once, holds them all open, and then asks for a file over each.
#[derive(Args)]
pub struct Options {
    /// Address and port of an HTTP server.
    server: SocketAddr,
    /// Number of connections.
    connections: usize,
    /// What to ask for.
    path: String,
    /// What must be the answer.
    file: PathBuf,
    /// Closes each connection first, as far as it goes to the server.
    #[arg(long)]
    close: bool,
    /// Does all of it so many times.
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
}

impl Options {
    /// Runs it; prints how many were served.
    ///
    /// # Errors
    /// If any connection is refused, reset, not answered, or answered wrongly.
    pub fn execute(&self) -> Result<u8> {
        let file = std::fs::read(&self.file)?;
        let served =
            (0..self.rounds).try_fold(0, |sum, _| Ok::<_, Error>(sum + self.round(&file)?));
        println!("{} served", served?);
        Ok(0)
    }

    /// Opens all connections, and asks over each. Returns how many were served, which is all.
    fn round(&self, file: &[u8]) -> Result<usize> {
        let start = Barrier::new(self.connections);
        let streams = self.together((0..self.connections).collect(), |_| {
            start.wait();
            let stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        })?;
        Ok(self.together(streams, |stream| self.ask(stream, file))?.len())
    }

    /// Does `work` with each of `inputs` in a thread of its own.
    fn together<I: Send, O: Send>(
        &self,
        inputs: Vec<I>,
        work: impl Fn(I) -> Result<O> + Sync,
    ) -> Result<Vec<O>> {
        let work = &work;
        let results: Vec<Result<O>> = thread::scope(|scope| {
            let threads: Vec<_> =
                inputs.into_iter().map(|input| scope.spawn(move || work(input))).collect();
            let ended = threads.into_iter().map(|thread| thread.join());
            ended.map(|result| result.expect("no thread panics")).collect()
        });
        let failed = results.iter().filter(|result| result.is_err()).count();
        let results: Result<Vec<O>> = results.into_iter().collect();
        results.with_context(|| format!("{failed} of {} connections failed", self.connections))
    }

    /// Asks for the file over a connection, which the server is to close.
    fn ask(&self, mut stream: TcpStream, file: &[u8]) -> Result<()> {
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", self.path);
        stream.write_all(request.as_bytes())?;
        if self.close {
            stream.shutdown(Shutdown::Write)?;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "an answer is no success");
        ensure!(answer.ends_with(file), "an answer is not the file");
        Ok(())
    }
}
