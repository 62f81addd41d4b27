//! vchan between two guests, of which one dies: what the other one is told. `vchan_pair.sh` makes the
//! other one, of the same image.
//@ machine: xen
//@ memory: 8M
//@ dom0: vchan_pair.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::{check, fail};
use mayfly::{
    BootArguments, Machine, Result, println,
    time::timeout,
    xen::{Store, Vchan, VchanError, Xen},
};

#[derive(BootArguments)]
struct Args {
    /// This guest is the other one, and the client of this domain.
    #[arg(default = 0)]
    client_of: u16,
    /// This guest is the other one, and the server for this domain.
    #[arg(default = 0)]
    server_for: u16,
}

const PORT: &str = "pair";
const PATIENCE: Duration = Duration::from_secs(30);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let args: Args = machine.arguments()?;
    let Some(xen) = machine.xen() else { return fail("this guest is for Xen") };
    let store = xen.store();
    match args {
        Args { client_of: 1.., .. } => wait_for_death(connect(&xen, args.client_of).await?).await,
        Args { server_for: 1.., .. } => wait_for_death(accept(&xen, args.server_for).await?).await,
        _ => {
            let stream = connect(&xen, told(&store, "server").await?).await?;
            ends(&store, "server", stream).await?;
            // Permissions are for domains that are there already.
            let stream = accept(&xen, told(&store, "client").await?).await?;
            ends(&store, "client", stream).await?;
            guests::pass()
        }
    }
}

async fn connect(xen: &Xen, server: u16) -> Result<Vchan> {
    let connected = timeout(PATIENCE, xen.vchan_connect(server, PORT)).await;
    Ok(connected.map_err(|_| mayfly::Error::App("the server does not listen"))??)
}

async fn accept(xen: &Xen, client: u16) -> Result<Vchan> {
    let mut listener = xen.vchan_listen(client, PORT).await?;
    let accepted = timeout(PATIENCE, listener.accept()).await;
    Ok(accepted.map_err(|_| mayfly::Error::App("the client does not connect"))??)
}

/// The domain that dom0 says is the other one.
async fn told(store: &Store, what: &str) -> Result<u16> {
    let path = mayfly::alloc::format!("data/{what}");
    let mut watch = store.watch(&path).await?;
    loop {
        watch.next().await?;
        if let Ok(domain) = store.read_number(&path).await {
            return Ok(domain);
        }
    }
}

/// The other one: it says something, and waits for its end.
async fn wait_for_death(mut stream: Vchan) -> Result {
    stream.write_all(b"hello").await?;
    let read = stream.read(&mut [0; 10]).await;
    println!("it lives on: {read:?}");
    fail("the other guest was not destroyed")
}

/// Hears the other one, has it destroyed, and is told.
async fn ends(store: &Store, who: &str, mut stream: Vchan) -> Result {
    let mut buffer = [0; 10];
    let count = stream.read(&mut buffer).await?;
    check(buffer[..count] == *b"hello", "the other guest says something else")?;
    store.write("data/stage", who).await?;
    let Ok(read) = timeout(PATIENCE, stream.read(&mut buffer)).await else {
        return fail("a read hangs when the other guest is destroyed");
    };
    println!("the {who} is destroyed: read gives {read:?}");
    check(read == Err(VchanError::Gone), "a read does not tell of the end")?;
    let written = stream.write(b"x").await;
    check(written == Err(VchanError::Gone), "a write does not tell of the end")
}
