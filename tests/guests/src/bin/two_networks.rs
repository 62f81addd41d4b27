//! Two network cards, each with an address of its own: answers on each, and says on which.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{
    Machine, Result,
    net::{Error, Network, TcpListener},
};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    guests::check(machine.networks().await == 2, "there are not two network cards")?;
    let (first, second) = (machine.network_at(0).await?, machine.network_at(1).await?);
    guests::check(first.mac() != second.mac(), "both are the same card")?;
    first.wait_configured().await?;
    second.wait_configured().await?;
    let other = mayfly::spawn(async move { serve(&second, "network 1: ").await });
    let own = mayfly::spawn(async move { serve(&first, "network 0: ").await });
    mayfly::println!("both networks are there");
    // Both serve until the runner ends the guest.
    let _ = (own.await, other.await);
    guests::fail("a network has ended")
}

/// Answers each client with `name` and what it has sent.
async fn serve(network: &Network, name: &str) -> Result<(), Error> {
    let mut listener = TcpListener::bind(network, 7).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut buffer = [0; 64];
        let count = stream.read(&mut buffer).await?;
        stream.write_all(name.as_bytes()).await?;
        stream.write_all(buffer.get(..count).unwrap_or_default()).await?;
        stream.close().await?;
    }
}
