//! Is saved and restored while it works: a test in the lab does that. It sends back what comes to port
//! 7, and says at port 8 how things are, in one line: nanoseconds since boot and since 1970, how
//! often its disk was written and read again, and what is free: grants and places for pages of others.
//! It connects with what dom0 has for it at the port `saved` of vchan, again and again. By Conduit, it
//! asks dom0 for the port `never`. A connection to port 9 ends it.
//@ machine: lab
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{cell::Cell, time::Duration};

use guests::{check, fail, pass};
use mayfly::{
    Machine, Result,
    alloc::{format, rc::Rc, vec, vec::Vec},
    block::Disk,
    net::{Error, Network, TcpListener, TcpStream},
    println, spawn,
    time::{Instant, sleep, wall_clock},
    xen::Xen,
};

/// Bytes of a piece that a task writes to the disk.
const PIECE: usize = 64 << 10;

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let disk = machine.disk(0).await?;
    let network = machine.network().await?;
    let rounds = Rc::new(Cell::new(0));
    let load = spawn(load(disk, Rc::clone(&rounds)));
    let clock = spawn(watch_clock());
    spawn(echo(network.clone())).detach();
    spawn(tell(network.clone(), rounds)).detach();
    let xen = machine.xen().ok_or("this guest is for Xen")?;
    spawn(ask(xen.clone())).detach();
    spawn(follow(xen)).detach();
    TcpListener::bind(&network, 9).await?.accept().await?;
    if load.is_finished() {
        return load.await?;
    }
    if clock.is_finished() {
        return clock.await?;
    }
    pass()
}

/// Sends back what comes.
async fn echo(network: Network) -> Result {
    let mut listener = TcpListener::bind(&network, 7).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(echo_stream(stream)).detach();
    }
}

async fn echo_stream(mut stream: TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 1024];
    while let count @ 1.. = stream.read(&mut buffer).await? {
        stream.write_all(buffer.get(..count).unwrap_or_default()).await?;
    }
    stream.close().await
}

/// Says how things are.
async fn tell(network: Network, rounds: Rc<Cell<u32>>) -> Result {
    let mut listener = TcpListener::bind(&network, 8).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let free = mayfly_xen::sharing().map(|xen| (xen.grants.free(), xen.foreign.free()));
        let (grants, places) = free.unwrap_or_default();
        let (up, wall) = (Instant::now().as_nanos(), wall_clock().unwrap_or_default().as_nanos());
        let line = format!("{up} {wall} {} {grants} {places}\n", rounds.get());
        // Whoever asked may have gone.
        let _ = stream.write_all(line.as_bytes()).await;
        let _ = stream.close().await;
    }
}

/// Waits to be connected by name, which does not happen.
async fn ask(xen: Xen) -> Result {
    let connected = xen.conduit("saved").await?.connect("dom0", "never").await;
    println!("dom0 has answered: {connected:?}");
    Ok(())
}

/// Has a channel with dom0, as long as that lasts, and then the next.
async fn follow(xen: Xen) -> Result {
    loop {
        let mut channel = xen.vchan_connect(0, "saved").await?;
        channel.write_all(b"hello").await?;
        println!("channel: connected");
        let mut buffer = [0; 16];
        while let Ok(1..) = channel.read(&mut buffer).await {}
        match channel.write_all(b"x").await {
            Ok(()) => println!("channel: it can be written to although it has ended"),
            Err(error) => println!("channel: {error}"),
        }
    }
}

/// Time does not run backwards.
async fn watch_clock() -> Result {
    let mut last = Instant::now();
    loop {
        sleep(Duration::from_millis(20)).await;
        let now = Instant::now();
        check(now >= last + Duration::from_millis(20), "time has run backwards")?;
        last = now;
    }
}

/// What a piece of the disk has in a round.
fn pattern(round: u32, piece: u64) -> Vec<u8> {
    let words = (0..PIECE as u32 / 4)
        .map(|word| (word ^ round.rotate_left(16) ^ piece as u32).wrapping_mul(0x9e37_79b1));
    words.flat_map(u32::to_le_bytes).collect()
}

/// Writes all of the disk, and reads it again, again and again, by a task for each piece.
async fn load(disk: Disk, rounds: Rc<Cell<u32>>) -> Result {
    loop {
        let start = Instant::now();
        let round = rounds.get();
        let pieces = 0..disk.size() / PIECE as u64;
        let tasks: Vec<_> = pieces
            .map(|piece| {
                let disk = disk.clone();
                spawn(async move {
                    let (offset, wanted) = (piece * PIECE as u64, pattern(round, piece));
                    disk.write(offset, &wanted).await?;
                    let mut found = vec![0; PIECE];
                    disk.read(offset, &mut found).await?;
                    Ok::<_, mayfly::Error>(found == wanted)
                })
            })
            .collect();
        for task in tasks {
            if !task.await?? {
                return fail("the disk has not what was written to it");
            }
        }
        disk.flush().await?;
        rounds.set(round + 1);
        // dom0 has something to do, too.
        sleep(2 * start.elapsed()).await;
    }
}
