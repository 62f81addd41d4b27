//! Reads and writes a disk as it is told to on TCP port 5 ([`disk_orders`]), past the cache of the
//! kernel.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;

use disk_orders::Order;
use rustix::fs::{OFlags, SeekFrom, seek};

/// The disk.
const DISK: &str = "/dev/xvda";
/// Where data has to begin in memory for O_DIRECT (open(2)), and more.
const ALIGNMENT: usize = 4096;

/// Serves in the background, if there is a disk.
pub fn start() -> io::Result<()> {
    let Ok(disk) = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(DISK)
    else {
        return Ok(());
    };
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 5))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Err(error) = serve(&stream, &disk) {
                println!("disk: {error}");
            }
        }
    });
    Ok(())
}

fn serve(mut stream: &TcpStream, disk: &File) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let order = Order::parse(&line).ok_or(ErrorKind::InvalidData)?;
    let size = seek(disk, SeekFrom::End(0))?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..order.depth)
            .map(|worker| scope.spawn(move || work(disk, size, order, worker)))
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| ErrorKind::Other)?)
    })?;
    stream.write_all(b"done\n")
}

fn work(disk: &File, size: u64, order: Order, worker: u64) -> io::Result<()> {
    let mut memory = vec![0x5a; order.block + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let buffer = memory.get_mut(start..start + order.block).ok_or(ErrorKind::Other)?;
    for at in order.offsets(worker, size) {
        if order.writes {
            disk.write_all_at(buffer, at)?;
        } else {
            disk.read_exact_at(buffer, at)?;
        }
    }
    Ok(())
}
