//! Names become addresses, by a real name server that a real DHCP server has named.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{
    Machine, Result,
    net::{AddressKind, Network},
    println,
};

/// The names that the server is asked for. The test knows that it has these.
const NAMES: [&str; 4] = ["one.example", "many.example", "alias.example", "missing.example"];

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let network = machine.network().await?;
    println!("address {:?}", network.addresses());
    println!("name servers {:?}", network.name_servers());
    for name in NAMES {
        look_up(&network, name, AddressKind::V4, "A").await;
        look_up(&network, name, AddressKind::V6, "AAAA").await;
    }
    guests::pass()
}

/// Looks a name up, and prints what comes out in a line.
async fn look_up(network: &Network, name: &str, kind: AddressKind, record: &str) {
    match network.resolve(name, kind).await {
        Ok(addresses) => {
            mayfly::print!("{name} {record}");
            addresses.iter().for_each(|address| mayfly::print!(" {address}"));
            println!();
        }
        Err(error) => println!("{name} {record}: {error}"),
    }
}
