//! A console beside the first: who is at its other end in dom0 types at it and sees what it answers,
//! more than the rings hold, and removes it at last, if it was not there from the beginning.
//@ machine: xen
//@ network: none
//@ dom0: console.sh

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{
    BootArguments, Machine, println, time,
    xen::{Channel, ChannelError, Xen},
};

/// Bytes of a message that is longer than the rings.
const MANY: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(BootArguments)]
struct Args {
    /// Nobody removes the console.
    stays: bool,
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    let args: Args = machine.arguments()?;
    let xen = machine.xen().ok_or("there is no Xen")?;
    let missing = xen.console("nobody").await.err();
    guests::check(missing == Some(ChannelError::NotFound), "a console of no name was found")?;
    println!("ready");
    let mut console = soon(open(&xen)).await?;
    println!("open");
    let again = xen.console("monitor").await.err();
    guests::check(again == Some(ChannelError::InUse), "it could be opened twice")?;
    echo(&mut console, b"hello\n").await?;
    println!("echoed");
    let mut count = 0;
    let mut buffer = [0; 100];
    while count < MANY {
        let read = soon(console.read(&mut buffer)).await??;
        let part = buffer.get(..read).unwrap_or_default();
        for byte in part {
            guests::check(*byte == b'a' + (count % 26) as u8, "something else was typed")?;
            count += 1;
        }
        console.write_all(part).await?;
    }
    console.flush().await?;
    println!("all of it");
    if args.stays {
        return guests::pass();
    }
    // The tools remove it.
    let end = soon(console.read(&mut buffer)).await?;
    guests::check(end == Err(ChannelError::Gone), "it does not notice that it was removed")?;
    guests::pass()
}

/// What comes of `future`, unless it takes too long.
async fn soon<T>(future: impl Future<Output = T>) -> mayfly::Result<T> {
    time::timeout(PATIENCE, future).await.map_err(|_| "nothing comes in time".into())
}

/// Waits until the tools have made the console.
async fn open(xen: &Xen) -> Channel {
    loop {
        if let Ok(console) = xen.console("monitor").await {
            return console;
        }
        time::sleep(Duration::from_millis(20)).await;
    }
}

/// Expects a text, and sends it back.
async fn echo(console: &mut Channel, expected: &[u8]) -> mayfly::Result {
    let mut buffer = [0; 20];
    let mut count = 0;
    while count < expected.len() {
        let rest = buffer.get_mut(count..).unwrap_or_default();
        count += soon(console.read(rest)).await??;
    }
    guests::check(buffer.get(..count) == Some(expected), "something else was typed")?;
    Ok(console.write_all(expected).await?)
}
