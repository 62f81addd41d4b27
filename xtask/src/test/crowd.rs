//! More TCP clients than a server has memory for, none of which behaves: a client that this program is
//! itself, as [`burst`](super::burst).

use std::io::Write;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

/// Threads, and connections of each at a time.
const CLIENTS: usize = 256;
const EACH: usize = 8;

/// How long a client tries to connect: one whose request is not answered does not ask again.
const PATIENCE: Duration = Duration::from_millis(400);

/// Time between two waves of a client's connections.
const PAUSE: Duration = Duration::from_millis(100);

/// What is sent: requests without an end, and many whose answers nobody reads.
const REQUESTS: [(&str, usize); 4] = [
    ("GET / HT", 1),
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 20),
    ("G", 1),
    ("GET /images/river.png HTTP/1.1\r\nHost: a\r\n\r\n", 10),
];

/// Opens connections all the time, asks for what it does not read, and closes many of them, in waves.
#[derive(Args)]
pub struct Options {
    /// Address and port of an HTTP server.
    server: SocketAddr,
    /// How long.
    seconds: u64,
}

/// What has become of connections.
#[derive(Default)]
struct Count {
    opened: usize,
    unanswered: usize,
}

impl Options {
    /// Runs it; prints how many connections were opened, and how many were not.
    ///
    /// # Errors
    /// If a client has panicked.
    pub fn execute(&self) -> Result<u8> {
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let mut sum = Count::default();
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..CLIENTS).map(|number| scope.spawn(move || self.client(number, end))).collect();
            for client in clients {
                let panicked = |_| anyhow::anyhow!("a client has panicked");
                let count = client.join().map_err(panicked)?;
                sum.opened += count.opened;
                sum.unanswered += count.unanswered;
            }
            anyhow::Ok(())
        })?;
        println!("{} opened, {} unanswered", sum.opened, sum.unanswered);
        Ok(0)
    }

    /// One client, until `end`. What it has not read when it closes a connection resets that.
    fn client(&self, number: usize, end: Instant) -> Count {
        let (mut count, mut streams) = (Count::default(), Vec::new());
        for wave in number.. {
            while streams.len() < EACH && Instant::now() < end {
                match self.open(wave + streams.len()) {
                    Some(stream) => {
                        count.opened += 1;
                        streams.push(stream);
                    }
                    None => {
                        count.unanswered += 1;
                        break;
                    }
                }
            }
            if Instant::now() >= end {
                break;
            }
            thread::sleep(PAUSE);
            // All, or every second or fourth one.
            let part = [1, 2, 4][wave % 3];
            let all = mem::take(&mut streams).into_iter().enumerate();
            streams = all.filter(|(at, _)| at % part != 0).map(|(_, stream)| stream).collect();
        }
        count
    }

    /// Connects, and sends something of the kind `number`. `None` if the server does not answer.
    fn open(&self, number: usize) -> Option<TcpStream> {
        let mut stream = TcpStream::connect_timeout(&self.server, PATIENCE).ok()?;
        let (request, times) = REQUESTS[number % REQUESTS.len()];
        stream.set_nonblocking(true).ok()?;
        // It may be reset already, as is right.
        stream.write_all(request.repeat(times).as_bytes()).ok();
        Some(stream)
    }
}
