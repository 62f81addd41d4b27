//! What a Linux guest serves while Mayfly is compared with it: one file by HTTP on port 80, all
//! that is sent to port 9 is discarded (RFC 863), port 19 sends without end (RFC 864), and port 7
//! sends back what it gets, by TCP and UDP (RFC 862). Besides, see [`disk`] and [`neighbour`].
//!
//! Built to be fast: one thread, epoll(7), no allocation and nothing parsed beyond the end of a
//! request, answers made at start. Real servers do more, so Linux is not put at a disadvantage.
#![forbid(unsafe_code)]

mod disk;
mod neighbour;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
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
    Echo,
}

/// The ports on which connections are accepted.
const SERVICES: [(u16, Service); 4] =
    [(80, Service::Http), (9, Service::Discard), (19, Service::Generate), (7, Service::Echo)];

/// A socket that is waited for.
enum Socket {
    Listener(TcpListener, Service),
    Connection(TcpStream, Service),
    Datagrams(UdpSocket),
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
    for (port, service) in SERVICES {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listener.set_nonblocking(true)?;
        watch(&epoll, &listener, epoll::EventFlags::IN)?;
        sockets.insert(listener.as_raw_fd(), Socket::Listener(listener, service));
    }
    let datagrams = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 7))?;
    datagrams.set_nonblocking(true)?;
    watch(&epoll, &datagrams, epoll::EventFlags::IN)?;
    sockets.insert(datagrams.as_raw_fd(), Socket::Datagrams(datagrams));
    disk::start()?;
    neighbour::start()?;
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
                    Service::Http | Service::Discard | Service::Echo => epoll::EventFlags::IN,
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
        Some(Socket::Datagrams(socket)) => {
            while let Ok((count, peer)) = socket.recv_from(&mut buffers.scratch) {
                // What cannot be sent is lost, as datagrams may be.
                let _ = socket.send_to(buffers.scratch.get(..count).unwrap_or_default(), peer);
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
            Service::Http | Service::Discard | Service::Echo => stream.read(&mut buffers.scratch),
        };
        let count = match done {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let received = buffers.scratch.get(..count).unwrap_or_default();
        match service {
            // A client sends each request in one piece and waits for the answer.
            Service::Http if received.ends_with(b"\r\n\r\n") => {
                return stream.write_all(&buffers.answer);
            }
            Service::Http => return Err(ErrorKind::InvalidData.into()),
            Service::Echo => return stream.write_all(received),
            Service::Discard | Service::Generate => {}
        }
    }
}
