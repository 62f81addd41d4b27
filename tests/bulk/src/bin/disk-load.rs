//! Reads and writes its disk as it is told to on TCP port 5 ([`disk_orders`]). `cargo xtask bench xen`
//! measures it, and tests/linux-server does the same.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use disk_orders::Order;
use mayfly::{
    Machine,
    alloc::{format, string::String, vec, vec::Vec},
    block::{Disk, Error as DiskError},
    net::{Error, TcpListener, TcpStream},
};

/// Longest line that is an order.
const LONGEST: usize = 128;

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let disk = machine.disk(0).await?;
    let network = machine.network().await?;
    let mut listener = TcpListener::bind(&network, 5).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let line = line(&mut stream).await?;
        let answer = match Order::parse(&line) {
            Some(order) => match obey(&disk, order).await {
                Ok(()) => "done\n".into(),
                Err(error) => format!("{error}\n"),
            },
            None => format!("`{line}` is no order\n"),
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.close().await?;
    }
}

async fn line(stream: &mut TcpStream) -> Result<String, Error> {
    let (mut bytes, mut part) = (Vec::new(), [0; LONGEST]);
    while !bytes.ends_with(b"\n") && bytes.len() < LONGEST {
        match stream.read(&mut part).await? {
            0 => break,
            count => bytes.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).trim().into())
}

async fn obey(disk: &Disk, order: Order) -> Result<(), DiskError> {
    let workers: Vec<_> =
        (0..order.depth).map(|worker| mayfly::spawn(work(disk.clone(), order, worker))).collect();
    for worker in workers {
        worker.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

async fn work(disk: Disk, order: Order, worker: u64) -> Result<(), DiskError> {
    let mut buffer = vec![0x5a; order.block];
    for at in order.offsets(worker, disk.size()) {
        if order.writes {
            disk.write(at, &buffer).await?;
        } else {
            disk.read(at, &mut buffer).await?;
        }
    }
    Ok(())
}
