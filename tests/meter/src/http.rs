//! Requests by HTTP: each connection asks again as soon as it has its answer.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::bulk::connect;
use crate::{Outcome, PATIENCE};

/// What is asked for.
pub const REQUEST: &[u8] = b"GET /style.css HTTP/1.1\r\nHost: guest\r\n\r\n";

/// Where a header says how long an answer is.
const LENGTH: &str = "content-length:";

/// A connection that has asked.
struct Client {
    stream: TcpStream,
    /// What has come of the answer while its head is not complete.
    head: Vec<u8>,
    /// Bytes of the answer that are to come, once that is known.
    missing: Option<usize>,
}

/// Requests a second.
pub fn requests(address: IpAddr, time: Duration, connections: usize) -> Outcome<f64> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::new();
    for number in 0..connections {
        let mut stream = connect(address, 80)?;
        stream.write_all(REQUEST)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
        clients.push(Client { stream, head: Vec::new(), missing: None });
    }
    let (start, mut total) = (Instant::now(), 0);
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let mut events = Vec::with_capacity(connections.max(1));
    let mut buffer = vec![0; 64 * 1024];
    while start.elapsed() < time {
        events.clear();
        if epoll::wait(&epoll, spare_capacity(&mut events), Some(&patience))? == 0 {
            return Err("the guest stalls".into());
        }
        for event in &events {
            let number = usize::try_from(event.data.u64())?;
            let client = clients.get_mut(number).ok_or("no such connection")?;
            if client.receive(&mut buffer)? {
                client.stream.write_all(REQUEST)?;
                total += 1;
            }
        }
    }
    Ok(f64::from(total) / start.elapsed().as_secs_f64())
}

impl Client {
    /// Takes what is there of an answer; tells whether it is complete.
    fn receive(&mut self, buffer: &mut [u8]) -> Outcome<bool> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err("the guest has closed a connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let missing = match self.missing {
            Some(missing) => missing.checked_sub(count),
            None => {
                self.head.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let Some(whole) = length(&self.head)? else { return Ok(false) };
                whole.checked_sub(self.head.len())
            }
        };
        let missing = missing.ok_or("an answer is longer than it says")?;
        self.missing = Some(missing).filter(|&missing| missing > 0);
        if missing == 0 {
            self.head.clear();
        }
        Ok(missing == 0)
    }
}

/// How long an answer is, head and all, once its head has come.
fn length(answer: &[u8]) -> Outcome<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(answer.get(..end).unwrap_or_default())?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(format!("the guest answers: {head}").into());
    }
    let body = head.lines().find_map(|line| line.strip_prefix(LENGTH));
    let body: usize = body.ok_or("an answer does not tell its length")?.trim().parse()?;
    Ok(Some(end + 4 + body))
}
