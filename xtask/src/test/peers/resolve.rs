//! A guest learns the same from dnsmasq as dig does: when that has given it its address and named
//! itself as name server, by DHCP; and when boot arguments have, and dnsmasq is behind a gateway.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::dnsmasq::Dnsmasq;
use crate::build::Image;
use crate::run::Hardware;
use crate::test::case::Failure;
use crate::test::examples::client;
use crate::test::guest::TestGuest;
use crate::test::guests;
use crate::test::namespace::{GUEST_ADDRESS, Namespace};

/// Our address in the namespace, where dnsmasq listens.
const SERVER: &str = "10.77.0.1";

/// An address of ours on another network, to which the first one is the gateway.
const FAR: &str = "10.99.0.1";

/// The address that dnsmasq gives the guest, the only one that it has to give.
const GUEST: &str = "10.77.0.50";

/// The names that the guest asks for, and whether there is an address of each kind.
const NAMES: [(&str, bool, bool); 4] = [
    ("one.example", true, true),
    ("many.example", true, false),
    ("alias.example", true, true),
    ("missing.example", false, false),
];

/// Seconds that the guest may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// With DHCP.
pub fn test(image: &Image, hardware: Hardware, namespace: Namespace) -> Result<(), Failure> {
    let _server = Dnsmasq::start(&namespace, &settings())?;
    // The last argument of a name counts.
    let arguments = ["ip=dhcp".to_owned()];
    let mut guest = TestGuest::start_in(namespace, image, hardware, &arguments)?;
    agrees_with_dig(&mut guest, GUEST, SERVER).map_err(|error| guest.failure(&error))
}

/// With boot arguments, and a gateway.
pub fn far(image: &Image, hardware: Hardware, namespace: Namespace) -> Result<(), Failure> {
    namespace.ip(&format!("address add {FAR}/32 dev lo"))?;
    let _server = Dnsmasq::start(&namespace, &settings())?;
    let arguments = [format!("gateway={SERVER}"), format!("dns={FAR}")];
    let mut guest = TestGuest::start_in(namespace, image, hardware, &arguments)?;
    agrees_with_dig(&mut guest, GUEST_ADDRESS, FAR).map_err(|error| guest.failure(&error))
}

/// What dnsmasq gives out.
fn settings() -> Vec<String> {
    let range = format!("--dhcp-range={GUEST},{GUEST}");
    let mut settings = vec![range];
    settings.extend(
        [
            "--dhcp-authoritative",
            "--local=/example/",
            "--host-record=one.example,10.1.2.3,fd00:1::3",
            "--host-record=many.example,10.1.2.4",
            "--host-record=many.example,10.1.2.5",
            "--cname=alias.example,one.example",
        ]
        .map(str::to_owned),
    );
    settings
}

fn agrees_with_dig(guest: &mut TestGuest, address: &str, server: &str) -> Result<()> {
    ensure!(guest.wait(PATIENCE)? == 0, "it failed");
    let console = guest.console();
    guests::judge(&Default::default(), 0, &console)?;
    let line = |start: &str| {
        let mut lines = console.lines().filter_map(|line| line.strip_prefix(start));
        lines.next().with_context(|| format!("the guest does not tell `{start}`"))
    };
    ensure!(line("address ")?.contains(address), "its address is not {address}");
    ensure!(line("name servers ")?.contains(server), "its name server is not {server}");
    for (name, has_v4, has_v6) in NAMES {
        for (record, exists) in [("A", has_v4), ("AAAA", has_v6)] {
            let theirs = dig(guest, name, record)?;
            ensure!(theirs.is_empty() != exists, "dig gets {theirs:?} for {name} {record}");
            let answer = line(&format!("{name} {record}"))?;
            let ours = addresses(answer);
            ensure!(ours == theirs, "{name} {record} is {theirs:?}, and the guest has `{answer}`");
            ensure!(exists || answer.starts_with(": "), "{name} {record} is no error");
        }
    }
    Ok(())
}

/// The addresses that dig gets for a name.
fn dig(guest: &TestGuest, name: &str, record: &str) -> Result<BTreeSet<IpAddr>> {
    let mut dig = Command::new("dig");
    dig.args(["+short", "+tries=3", "+time=3", &format!("@{SERVER}"), name, record]);
    let output = client::run(&mut guest.client(&dig), &[])?;
    Ok(addresses(&String::from_utf8_lossy(&output.stdout)))
}

/// The words that are addresses; for an alias, dig prints its target too.
fn addresses(text: &str) -> BTreeSet<IpAddr> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
