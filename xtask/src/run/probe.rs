//! Telling when a guest serves, and where.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::Duration;

use crate::ui;

/// How long to wait for an answer, and between two attempts.
const PATIENCE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(50);

/// The port that a URL need not name (RFC 9110, section 4.2.1).
const HTTP: u16 = 80;

/// Prints the URL of each place for HTTP as soon as the guest answers there.
///
/// The threads that do this end with the process.
pub fn announce_urls(places: Vec<SocketAddrV4>) {
    for place in places {
        thread::spawn(move || {
            while !answers_at(place) {
                thread::sleep(INTERVAL);
            }
            ui::progress("Serving", url(place));
        });
    }
}

/// The URL of an HTTP server's first page.
fn url(place: SocketAddrV4) -> String {
    match place.port() {
        HTTP => format!("http://{}/", place.ip()),
        _ => format!("http://{place}/"),
    }
}

/// Whether an HTTP server answers at `port` of the loopback address.
pub fn answers(port: u16) -> bool {
    answers_at(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Whether one answers at `place`. That a connection is accepted says nothing: QEMU accepts it
/// before the guest is asked.
fn answers_at(place: SocketAddrV4) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&place.into(), PATIENCE)?;
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
    fn a_url_names_the_port_if_it_is_unusual() {
        let url = |port| url(SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), port));
        assert_eq!(
            (url(80).as_str(), url(8080).as_str()),
            ("http://10.0.0.2/", "http://10.0.0.2:8080/")
        );
    }

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
