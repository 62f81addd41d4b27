//! One byte there and back, again and again.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::bulk::{connect, rate};
use crate::{Outcome, PATIENCE};

/// Datagrams a second.
pub fn datagrams(address: IpAddr, time: Duration) -> Outcome<f64> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((address, 7))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut answer = [0; 64];
    rate(time, &mut || {
        socket.send(b"?")?;
        match socket.recv(&mut answer)? {
            1 => Ok(1),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    })
}

/// Bytes a second on one connection.
pub fn stream(address: IpAddr, time: Duration) -> Outcome<f64> {
    let mut stream = connect(address, 7)?;
    let mut answer = [0];
    rate(time, &mut || {
        stream.write_all(b"?")?;
        stream.read(&mut answer)
    })
}
