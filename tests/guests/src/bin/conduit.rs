//! Conduit with dom0: names, and vchan by them, as client and as server. What dom0 does meanwhile is
//! in `conduit.sh`.
//@ machine: xen
//@ memory: 8M
//@ dom0: conduit.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::{check, fail};
use mayfly::{Machine, Result, println, time::timeout, xen::ConduitError};

const PATIENCE: Duration = Duration::from_secs(30);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let Some(xen) = machine.xen() else { return fail("this guest is for Xen") };
    let early = xen.conduit("guest").await.map(|_| ());
    println!("before dom0 has made the directory: {early:?}");
    check(early == Err(ConduitError::NotThere), "there are names without a place for them")?;
    xen.store().write("data/early", "1").await?;
    let mut watch = xen.store().watch("data/go").await?;
    while xen.store().read("data/go").await.is_err() {
        watch.next().await?;
    }
    let conduit = xen.conduit("guest").await?;
    check(conduit.resolve("guest.xen").await? == xen.domain().await?, "this is another domain")?;
    check(conduit.resolve("dom0").await? == 0, "dom0 is another domain")?;
    let unknown = conduit.resolve("nobody.xen").await;
    check(unknown == Err(ConduitError::Unknown), "there is a domain called nobody")?;

    let Ok(stream) = timeout(PATIENCE, conduit.connect("dom0.xen", "echo")).await else {
        return fail("dom0 does not accept");
    };
    let mut stream = stream?;
    let mut buffer = [0; 16];
    stream.write_all(b"to dom0").await?;
    let count = stream.read(&mut buffer).await?;
    check(buffer[..count] == *b"to dom0", "dom0 sends back something else")?;
    drop(stream);

    let mut requests = conduit.listen().await?;
    let Ok(request) = timeout(PATIENCE, requests.next()).await else {
        return fail("dom0 does not connect");
    };
    let request = request?;
    println!("{request:?}");
    check(request.client() == "dom0" && request.domain() == 0, "it is not dom0")?;
    check(request.port() == "service", "dom0 wants another port")?;
    let Ok(stream) = timeout(PATIENCE, request.accept()).await else {
        return fail("dom0 does not come");
    };
    let mut stream = stream?;
    stream.write_all(b"from the guest").await?;
    let count = stream.read(&mut buffer).await?;
    check(buffer[..count] == *b"from the guest", "dom0 sends back something else")?;
    guests::pass()
}
