//! Many bytes by TCP.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::{Outcome, PATIENCE};

/// Bytes moved at a time.
const CHUNK: usize = 256 * 1024;
/// Time before bytes are counted, so that windows have grown.
const WARM_UP: Duration = Duration::from_millis(500);

/// Bytes a second to a guest that discards them.
pub fn send(address: IpAddr, time: Duration) -> Outcome<f64> {
    let mut stream = connect(address, 9)?;
    let bytes = vec![0; CHUNK];
    let mut step = || stream.write(&bytes);
    rate(WARM_UP, &mut step)?;
    rate(time, &mut step)
}

/// Bytes a second from a guest that makes them up.
pub fn receive(address: IpAddr, time: Duration) -> Outcome<f64> {
    let mut stream = connect(address, 19)?;
    let mut bytes = vec![0; CHUNK];
    let mut step = || stream.read(&mut bytes);
    rate(WARM_UP, &mut step)?;
    rate(time, &mut step)
}

/// A connection to a guest that is there.
pub fn connect(address: IpAddr, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(address, port).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What `step` adds up to in a second.
pub fn rate(time: Duration, step: &mut dyn FnMut() -> io::Result<usize>) -> Outcome<f64> {
    let (start, mut total) = (Instant::now(), 0);
    while start.elapsed() < time {
        match step()? {
            0 => return Err("the guest has closed the connection".into()),
            count => total += count,
        }
    }
    Ok(total as f64 / start.elapsed().as_secs_f64())
}
