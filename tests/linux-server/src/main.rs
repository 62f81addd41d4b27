//! What a Linux guest serves while Mayfly is compared with it: one file by HTTP on port 80, all
//! that is sent to port 9 is discarded (RFC 863), and port 19 sends without end (RFC 864).
//!
//! Built to be fast: one thread, epoll(7), no allocation and nothing parsed beyond the end of a
//! request, answers made at start. Real servers do more, so Linux is not put at a disadvantage.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

/// Bytes moved at a time.
const CHUNK: usize = 64 * 1024;

/// What is done for a connection.
#[derive(Clone, Copy)]
enum Service {
    Http,
    Discard,
    Generate,
}

/// A socket that is waited for.
enum Socket {
    Listener(TcpListener, Service),
    Connection(TcpStream, Service),
}

/// The answer to each request, and room to receive.
struct Buffers {
    answer: Vec<u8>,
    scratch: Vec<u8>,
}

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "style.css".into());
    let body = std::fs::read(path)?;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: {length}\r\n\
         Connection: keep-alive\r\n\r\n"
    );
    let answer = [head.into_bytes(), body].concat();
    let mut buffers = Buffers { answer, scratch: vec![0; CHUNK] };
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = HashMap::new();
    for (port, service) in [(80, Service::Http), (9, Service::Discard), (19, Service::Generate)] {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listener.set_nonblocking(true)?;
        watch(&epoll, &listener, epoll::EventFlags::IN)?;
        sockets.insert(listener.as_raw_fd(), Socket::Listener(listener, service));
    }
    println!("the server is ready");
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let socket = event.data.u64() as RawFd;
            ready(&epoll, &mut sockets, socket, &mut buffers)?;
        }
    }
}

fn watch(
    epoll: impl AsFd,
    socket: &(impl AsFd + AsRawFd),
    what: epoll::EventFlags,
) -> io::Result<()> {
    let data = epoll::EventData::new_u64(socket.as_raw_fd() as u64);
    Ok(epoll::add(epoll, socket, data, what)?)
}

/// Something can be done for a socket.
fn ready(
    epoll: impl AsFd + Copy,
    sockets: &mut HashMap<RawFd, Socket>,
    number: RawFd,
    buffers: &mut Buffers,
) -> io::Result<()> {
    match sockets.get_mut(&number) {
        Some(Socket::Listener(listener, service)) => {
            let (listener, service) = (listener.try_clone()?, *service);
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let what = match service {
                    Service::Http | Service::Discard => epoll::EventFlags::IN,
                    Service::Generate => epoll::EventFlags::OUT,
                };
                watch(epoll, &stream, what)?;
                sockets.insert(stream.as_raw_fd(), Socket::Connection(stream, service));
            }
        }
        Some(Socket::Connection(stream, service)) => {
            let over = serve(stream, *service, buffers).is_err();
            if over {
                // Closing it takes it off the list of epoll.
                sockets.remove(&number);
            }
        }
        None => {}
    }
    Ok(())
}

/// Does what can be done without waiting. An error ends the connection.
fn serve(stream: &mut TcpStream, service: Service, buffers: &mut Buffers) -> io::Result<()> {
    loop {
        let done = match service {
            Service::Generate => stream.write(&buffers.scratch),
            Service::Http | Service::Discard => stream.read(&mut buffers.scratch),
        };
        let count = match done {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Service::Http = service {
            // wrk sends each request in one piece and waits for the answer.
            let received = buffers.scratch.get(..count).unwrap_or_default();
            if !received.ends_with(b"\r\n\r\n") {
                return Err(ErrorKind::InvalidData.into());
            }
            return stream.write_all(&buffers.answer);
        }
    }
}
