//! A guest gives itself an address by what a router announces, and serves there.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{net::IpAddr, time::Duration};

use guests::check;
use mayfly::{
    Machine, Result,
    net::{Network, TcpListener},
    println,
    time::{self, sleep},
};

/// How long the router, and the client, may take.
const PATIENCE: Duration = Duration::from_secs(40);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let network = machine.network().await?;
    let mut listener = TcpListener::bind(&network, 7).await?;
    let Ok(address) = time::timeout(PATIENCE, address(&network)).await else {
        return check(false, "no router has announced anything");
    };
    println!("address {address}");
    let Ok(accepted) = time::timeout(PATIENCE, listener.accept()).await else {
        return check(false, "nobody has connected");
    };
    let (mut stream, peer) = accepted?;
    check(peer.is_ipv6(), "the client has come by IPv4")?;
    let mut bytes = [0; 100];
    while let length @ 1.. = stream.read(&mut bytes).await? {
        stream.write_all(&bytes[..length]).await?;
    }
    stream.close().await?;
    guests::pass()
}

/// Waits for an address that is not only for the link.
async fn address(network: &Network) -> IpAddr {
    loop {
        let addresses = network.addresses();
        let global = addresses
            .into_iter()
            .map(|(address, _)| address)
            .find(|address| matches!(address, IpAddr::V6(six) if !six.is_unicast_link_local()));
        if let Some(address) = global {
            return address;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
