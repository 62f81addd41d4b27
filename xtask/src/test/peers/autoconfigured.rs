//! A guest that gives itself an address by what a router says (SLAAC), and is reached there.

use std::net::Ipv6Addr;
use std::path::Path;
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
use crate::test::namespace::{INTERFACE, Namespace};

/// The router's address, and what dnsmasq announces.
const ROUTER: &str = "fd98::1/64";
const PREFIX: [u16; 4] = [0xfd98, 0, 0, 0];
const SETTINGS: [&str; 3] = ["--port=0", "--enable-ra", "--dhcp-range=fd98::,ra-only,64,10m"];

/// What a kernel with IPv6 has.
const IPV6: &str = "/proc/net/if_inet6";

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether it can be run here.
///
/// # Errors
/// If it cannot.
pub fn permitted() -> Result<()> {
    ensure!(Path::new(IPV6).exists(), "the kernel of this machine has no IPv6; there is no {IPV6}");
    Namespace::permitted()
}

pub fn test(image: &Image, hardware: Hardware, namespace: Namespace) -> Result<(), Failure> {
    namespace.ip(&format!("address add {ROUTER} dev {INTERFACE} nodad"))?;
    let _router = Dnsmasq::start(&namespace, &SETTINGS.map(str::to_owned))?;
    let mut guest = TestGuest::start_in(namespace, image, hardware, &[])?;
    is_reached(&mut guest).map_err(|error| guest.failure(&error))
}

fn is_reached(guest: &mut TestGuest) -> Result<()> {
    // A line that has arrived in part may be an address, too.
    let told = |console: &str| {
        let mut whole = console.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let line = whole.find_map(|line| line.strip_prefix("address "))?;
        line.trim_end().parse::<Ipv6Addr>().ok()
    };
    let address = guest.until("address by SLAAC", PATIENCE, told)?;
    ensure!(address.segments().starts_with(&PREFIX), "{address} is not what the router announces");
    let address = address.to_string();
    let mut ping = Command::new("ping");
    ping.args(["-6", "-n", "-c", "3", "-i", "0.2", "-W", "5", &address]);
    client::run(&mut guest.client(&ping), &[])?;
    let mut nc = Command::new("nc");
    nc.args(["-6", "-N", "-w", "20", &address, "7"]);
    let answer = client::run(&mut guest.client(&nc), b"over IPv6\n")?.stdout;
    ensure!(answer == b"over IPv6\n", "the answer is `{}`", String::from_utf8_lossy(&answer));
    let status = guest.wait(PATIENCE).context("after all")?;
    guests::judge(&Default::default(), status, &guest.console())
}
