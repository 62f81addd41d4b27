//! Thousands of short connections leave memory where it was, on the side that accepts them.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::check;
use mayfly::{
    Machine, Result, memory,
    net::{TcpListener, TcpStream},
    println, spawn,
    time::sleep,
};

/// Connections after which all tables have their size, and those that are counted then.
const FIRST: u32 = 1_000;
const MORE: u32 = 10_000;

/// Bytes of the heap that others may use meanwhile: less than one for each connection.
const BYTES: usize = 4096;
/// Frames that the heap may take besides, of which it uses parts.
const FRAMES: usize = 32;

/// How long the last connections may take to end.
const MOMENT: Duration = Duration::from_secs(2);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let network = machine.network().await?;
    let mut listener = TcpListener::bind(&network, 80).await?;
    serve(&mut listener, FIRST).await?;
    let before = memory::stats();
    println!("after {FIRST} connections, {before}");
    serve(&mut listener, MORE).await?;
    let after = memory::stats();
    println!("after {MORE} more, {after}");
    let kept = after.heap_in_use.saturating_sub(before.heap_in_use);
    println!("{kept} bytes of the heap more");
    check(kept <= BYTES, "connections that have ended take room in the heap")?;
    check(after.free_frames + FRAMES >= before.free_frames, "frames do not come back")?;
    guests::pass()
}

/// Serves so many connections, and waits until all have ended.
async fn serve(listener: &mut TcpListener, count: u32) -> Result {
    for _ in 0..count {
        let (stream, _) = listener.accept().await?;
        spawn(answer(stream)).detach();
    }
    sleep(MOMENT).await;
    Ok(())
}

/// Answers a request with itself. The client ends the connection first.
async fn answer(mut stream: TcpStream) {
    let mut request = [0; 256];
    let mut length = 0;
    while let Some(room) = request.get_mut(length..).filter(|room| !room.is_empty()) {
        match stream.read(room).await {
            Ok(more @ 1..) => length += more,
            _ => break,
        }
    }
    let text = request.get(..length).unwrap_or_default();
    for part in [b"HTTP/1.1 200 OK\r\n\r\n", text] {
        if stream.write_all(part).await.is_err() {
            return;
        }
    }
}
