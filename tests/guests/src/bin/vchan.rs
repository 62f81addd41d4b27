//! vchan with dom0, which has libxenvchan: this guest as server and as client, and what happens when
//! the process on the other side dies, idle or in the middle of something. What dom0 does meanwhile is
//! in `vchan.sh`.
//@ machine: xen
//@ memory: 8M
//@ dom0: vchan.sh
//@ timeout: 120
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::{check, fail};
use mayfly::{
    BootArguments, JoinHandle, Machine, Result,
    alloc::vec,
    println, spawn,
    time::{Instant, timeout},
    xen::{ReadHalf, RingSizes, Vchan, VchanError, WriteHalf, Xen},
};

#[derive(BootArguments)]
struct Args {
    /// This guest connects, and waits to be destroyed.
    #[arg(default = false)]
    victim: bool,
}

const DOM0: u16 = 0;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that dom0 sends, and gets back.
const SMALL: usize = 256 << 10;
const LARGE: usize = 8 << 20;
/// Bytes that have come back when dom0 may kill who sends them.
const AMID: usize = 1 << 20;
/// Rings that hold more than one page.
const LARGE_RINGS: RingSizes = RingSizes { input: 1 << 17, output: 1 << 16 };

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let args: Args = machine.arguments()?;
    let Some(xen) = machine.xen() else { return fail("this guest is for Xen") };
    if args.victim {
        return be_destroyed(&xen).await;
    }
    let before = resources();
    serve(&xen, "small", RingSizes::default(), SMALL).await?;
    serve(&xen, "mixed", RingSizes { input: 1 << 14, output: 0 }, SMALL).await?;
    serve(&xen, "large", LARGE_RINGS, LARGE).await?;
    connect(&xen, "client", SMALL).await?;
    for port in ["large-client", "largest-client"] {
        exchange(&xen, port, LARGE).await?;
    }
    killed(&xen).await?;
    are_back(before).await?;
    killed_amid(&xen).await?;
    are_back(before).await?;
    guests::pass()
}

/// Waits until there are as many resources as before: the pages of the last channels are dom0's as
/// long as it has them mapped.
async fn are_back(before: Option<(usize, usize, usize)>) -> Result {
    for _ in 0..100 {
        if resources() == before {
            return Ok(());
        }
        mayfly::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{:?} before, {:?} now", before, resources());
    fail("grants or places are lost")
}

/// Grants that are made, grants that are over but still in use, and free places.
fn resources() -> Option<(usize, usize, usize)> {
    let sharing = mayfly_xen::sharing()?;
    // The first eight are not for the guest.
    let all = (sharing.grants.frames() * 512).saturating_sub(8);
    let used = all - sharing.grants.free();
    Some((used, sharing.grants.poll_deferred(), sharing.foreign.free()))
}

/// Sends back what dom0 sends, as server.
async fn serve(xen: &Xen, port: &str, sizes: RingSizes, size: usize) -> Result {
    let mut listener = xen.vchan_listen_with(DOM0, port, sizes).await?;
    let Ok(stream) = timeout(PATIENCE, listener.accept()).await else {
        return fail("dom0 does not connect");
    };
    echo(port, stream?, size).await
}

/// Sends back what dom0 sends, as client.
async fn connect(xen: &Xen, port: &str, size: usize) -> Result {
    let Ok(stream) = timeout(PATIENCE, xen.vchan_connect(DOM0, port)).await else {
        return fail("dom0 does not listen");
    };
    echo(port, stream?, size).await
}

/// A byte of what this guest sends.
fn byte(index: usize) -> u8 {
    ((index as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

/// Makes a part of what this guest sends, from the byte `first` on.
fn fill(part: &mut [u8], first: usize) {
    part.iter_mut().enumerate().for_each(|(at, place)| *place = byte(first + at));
}

/// Whether this is a part of what this guest sends.
fn is_same(part: &[u8], first: usize) -> bool {
    part.iter().enumerate().all(|(at, was)| *was == byte(first + at))
}

/// Sends, as client, and compares what dom0 sends back meanwhile.
async fn exchange(xen: &Xen, port: &str, size: usize) -> Result {
    let Ok(stream) = timeout(PATIENCE, xen.vchan_connect(DOM0, port)).await else {
        return fail("dom0 does not listen");
    };
    let (stream, start) = (stream?, Instant::now());
    println!("{port}: {stream:?}");
    let (mut reader, mut writer) = stream.split();
    let writes = spawn(async move {
        let mut buffer = vec![0; 10_000];
        for first in (0..size).step_by(buffer.len()) {
            let count = buffer.len().min(size - first);
            let part = &mut buffer[..count];
            fill(part, first);
            writer.write_all(part).await?;
        }
        Ok::<_, VchanError>(writer)
    });
    let (mut got, mut buffer) = (0, vec![0; 50_000]);
    while got < size {
        let Ok(count) = timeout(PATIENCE, reader.read(&mut buffer)).await else {
            return fail("dom0 stops sending");
        };
        let count = count?;
        check(count > 0, "dom0 closes too early")?;
        check(is_same(&buffer[..count], got), "dom0 sends back something else")?;
        got += count;
    }
    drop(writes.await??);
    println!("{port}: {size} bytes both ways in {} ms", start.elapsed().as_millis());
    Ok(())
}

async fn echo(port: &str, mut stream: Vchan, size: usize) -> Result {
    println!("{port}: {stream:?}");
    let mut buffer = vec![0; 1 << 16];
    let (mut rest, start) = (size, Instant::now());
    while rest > 0 {
        let Ok(count) = timeout(PATIENCE, stream.read(&mut buffer)).await else {
            return fail("dom0 stops sending");
        };
        let count = count?;
        check(count > 0 && count <= rest, "dom0 sends less or more")?;
        let Ok(written) = timeout(PATIENCE, stream.write_all(&buffer[..count])).await else {
            return fail("dom0 stops reading");
        };
        written?;
        rest -= count;
    }
    let Ok(flushed) = timeout(PATIENCE, stream.flush()).await else {
        return fail("dom0 does not read everything");
    };
    flushed?;
    println!("{port}: {size} bytes both ways in {} ms", start.elapsed().as_millis());
    Ok(())
}

/// The process in dom0 is killed: first one that is the client, then one that is the server.
async fn killed(xen: &Xen) -> Result {
    let mut listener = xen.vchan_listen(DOM0, "killed-client").await?;
    let accepted = timeout(PATIENCE, listener.accept()).await;
    let Ok(stream) = accepted else { return fail("the client does not connect") };
    ends(xen, "kill-client", stream?).await?;
    let connected = timeout(PATIENCE, xen.vchan_connect(DOM0, "killed-server")).await;
    let Ok(stream) = connected else { return fail("the server does not listen") };
    ends(xen, "kill-server", stream?).await
}

async fn ends(xen: &Xen, stage: &str, mut stream: Vchan) -> Result {
    xen.store().write("data/stage", stage).await?;
    let Ok(read) = timeout(PATIENCE, stream.read(&mut [0; 10])).await else {
        return fail("a read hangs when the other side is killed");
    };
    println!("{stage}: read gives {read:?}");
    check(read == Ok(0), "a read does not tell of the end")?;
    let Ok(written) = timeout(PATIENCE, stream.write(b"x")).await else {
        return fail("a write hangs when the other side is killed");
    };
    println!("{stage}: write gives {written:?}");
    check(written == Err(VchanError::Closed), "a write does not tell of the end")
}

/// The same while it sends back what this guest sends.
async fn killed_amid(xen: &Xen) -> Result {
    let mut listener = xen.vchan_listen_with(DOM0, "busy-client", LARGE_RINGS).await?;
    let accepted = timeout(PATIENCE, listener.accept()).await;
    let Ok(stream) = accepted else { return fail("the client does not connect") };
    breaks_off(xen, "busy-client", stream?).await?;
    let connected = timeout(PATIENCE, xen.vchan_connect(DOM0, "busy-server")).await;
    let Ok(stream) = connected else { return fail("the server does not listen") };
    breaks_off(xen, "busy-server", stream?).await
}

/// Sends without end, and compares what comes back until that ends.
async fn breaks_off(xen: &Xen, stage: &str, stream: Vchan) -> Result {
    let (mut reader, writer) = stream.split();
    let writes = write_on(writer);
    let (mut got, mut buffer) = (0, vec![0; 50_000]);
    let end = loop {
        let Ok(read) = timeout(PATIENCE, reader.read(&mut buffer)).await else {
            return fail("a read hangs when the other side is killed");
        };
        let Ok(count @ 1..) = read else { break read };
        check(is_same(&buffer[..count], got), "dom0 sends back something else")?;
        if (got..got + count).contains(&AMID) {
            xen.store().write("data/stage", stage).await?;
        }
        got += count;
    };
    println!("{stage}: after {got} bytes, read gives {end:?}");
    check(got > AMID, "the channel ends too early")?;
    check(end == Ok(0), "a read does not tell of the end")?;
    let Ok(written) = timeout(PATIENCE, writes).await else {
        return fail("a write hangs when the other side is killed");
    };
    check(written? == VchanError::Closed, "a write does not tell of the end")
}

/// Writes until that fails.
fn write_on(mut writer: WriteHalf) -> JoinHandle<VchanError> {
    spawn(async move {
        let (mut first, mut part) = (0, vec![0; 10_000]);
        loop {
            fill(&mut part, first);
            if let Err(error) = writer.write_all(&part).await {
                return error;
            }
            first += part.len();
        }
    })
}

/// Connects in both roles, and sends and gets bytes without end.
async fn be_destroyed(xen: &Xen) -> Result {
    let mut listener = xen.vchan_listen(DOM0, "victim-server").await?;
    let accepted = listener.accept().await?;
    let connected = xen.vchan_connect(DOM0, "victim-client").await?;
    for stream in [accepted, connected] {
        let (reader, writer) = stream.split();
        write_on(writer).detach();
        spawn(read_on(reader)).detach();
    }
    xen.store().write("data/stage", "victim").await?;
    mayfly::time::sleep(PATIENCE).await;
    fail("it was not destroyed")
}

/// Reads until there is no more.
async fn read_on(mut reader: ReadHalf) {
    let mut buffer = vec![0; 10_000];
    while let Ok(1..) = reader.read(&mut buffer).await {}
}
