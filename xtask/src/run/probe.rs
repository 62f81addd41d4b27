//! Telling when a guest serves, and where.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::network::{Forward, Protocol};
use crate::ui;

/// How long to wait for an answer, and between two attempts.
const PATIENCE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(50);

/// Prints the URL of each HTTP port as soon as the guest answers there.
///
/// The threads that do this end with the process.
pub fn announce_urls(forwards: &[Forward]) {
    for forward in forwards.iter().copied().filter(|one| one.protocol == Protocol::Http) {
        thread::spawn(move || {
            while !answers(forward.host) {
                thread::sleep(INTERVAL);
            }
            ui::progress("Serving", forward);
        });
    }
}

/// Whether an HTTP server answers at `port` of the loopback address. That a connection is accepted
/// says nothing: QEMU accepts it before the guest is asked.
pub fn answers(port: u16) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/")
    };
    attempt().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_server_answers_only_when_it_speaks_http() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            for answer in [&b"hello"[..], b"HTTP/1.0 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
                stream.write_all(answer).unwrap();
            }
        });
        assert!(!answers(port));
        assert!(answers(port));
        server.join().unwrap();
        assert!(!answers(port));
    }
}
