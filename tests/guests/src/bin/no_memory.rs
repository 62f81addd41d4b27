//! Without memory, sockets, disks and tasks are errors that the app can handle, and the guest goes
//! on: when there is memory again, all of them work.
//@ machine: qemu xen
//@ disk: 1M
//@ network: lab
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use guests::check;
use mayfly::{
    Machine, Result,
    block::{self, Disk},
    executor, memory,
    net::{AddressKind, Error, Network, TcpListener, TcpStream, UdpSocket},
    time,
};

/// Nobody has that address on this link.
const NOBODY: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xdead)), 9);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let network = machine.network().await?;
    let disk = machine.disk(0).await?;
    let mut buffer = vec![7; 1000];
    disk.write(512, &buffer[..512]).await?;
    // Whatever is still being set up takes its memory now.
    time::sleep(time::Duration::from_secs(1)).await;
    let before = memory::stats().free_frames;
    too_much_fails()?;

    let hoard = hoard();
    check(memory::stats().free_frames == 0, "there is memory left")?;
    everything_fails(&network, &disk, &mut buffer).await?;
    // Nothing has stopped that was there before.
    time::sleep(time::Duration::from_millis(10)).await;
    let failure = memory::last_failure();
    check(failure.is_some_and(|it| it.free == 0), "the last failure is another one")?;
    drop(hoard);

    everything_works(&network, &disk, &mut buffer).await?;
    time::sleep(time::Duration::from_secs(1)).await;
    // The heap, tables of sockets and pools of frames may keep a few.
    check(memory::stats().free_frames + 32 > before, "memory did not come back")?;
    guests::pass()
}

/// Who asks for more than there is gets an error that says who asked, for how much, and how much was
/// left; the fault report would say the same.
fn too_much_fails() -> Result {
    const TOO_MUCH: usize = 1 << 30;
    const WHO: &str = "a test";
    let Err(error) = memory::try_zeroed(TOO_MUCH, WHO) else {
        return check(false, "there is more memory than there is");
    };
    check((error.who, error.requested) == (WHO, TOO_MUCH), "another one has asked")?;
    let free = memory::stats().free_frames * memory::PAGE_SIZE;
    check(error.free == free, "the error has another amount of free memory")?;
    check(memory::last_failure() == Some(error), "the report would tell of another failure")
}

/// Takes all memory, down to the smallest blocks.
fn hoard() -> Vec<Vec<u8>> {
    let mut blocks = Vec::with_capacity(50_000);
    let large = (11..21).rev().map(|shift| 1 << shift);
    for size in large.chain((1..=2048).rev().step_by(8)) {
        while blocks.len() < blocks.capacity() {
            let mut block: Vec<u8> = Vec::new();
            if block.try_reserve_exact(size).is_err() {
                break;
            }
            blocks.push(block);
        }
    }
    blocks
}

async fn everything_fails(network: &Network, disk: &Disk, buffer: &mut [u8]) -> Result {
    let listener = TcpListener::bind(network, 80).await.err();
    check(listener == Some(Error::OutOfMemory), "a listener without memory")?;
    let stream = TcpStream::connect(network, NOBODY).await.err();
    check(stream == Some(Error::OutOfMemory), "a connection without memory")?;
    let socket = UdpSocket::bind(network, 7).await.err();
    check(socket == Some(Error::OutOfMemory), "a UDP socket without memory")?;
    let name = network.resolve("mayfly.example", AddressKind::V4).await.err();
    // There is no name server in the lab.
    let is_refused = matches!(name, Some(Error::OutOfMemory | Error::NoNameServer));
    check(is_refused, "a name is looked up without memory")?;
    let read = disk.read(0, &mut buffer[..512]).await;
    check(read == Err(block::Error::OutOfMemory), "a read without memory")?;
    let task = executor::try_spawn("a task", async {});
    check(task.is_err(), "a task without memory")
}

async fn everything_works(network: &Network, disk: &Disk, buffer: &mut [u8]) -> Result {
    TcpListener::bind(network, 80).await?;
    UdpSocket::bind(network, 7).await?;
    let connect = TcpStream::connect(network, NOBODY);
    let is_begun = time::timeout(time::Duration::from_secs(1), connect).await.is_err();
    check(is_begun, "no connection is begun, though there is memory")?;
    buffer.fill(0);
    disk.read(512, &mut buffer[..512]).await?;
    check(buffer.iter().take(512).all(|&byte| byte == 7), "the disk has other bytes")?;
    check(executor::try_spawn("a task", async {}).is_ok(), "no task, though there is memory")
}
