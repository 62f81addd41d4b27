//! A guest with two network cards is reached by the address of each, on the network of each.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::build::Image;
use crate::run::Hardware;
use crate::test::case::Failure;
use crate::test::examples::client;
use crate::test::guest::TestGuest;
use crate::test::namespace::{GUEST_ADDRESS, Namespace};

/// The second interface, our address on it, and the guest's.
const INTERFACE: &str = "tap1";
const OUR_ADDRESS: &str = "10.78.0.1/24";
const ADDRESS: &str = "10.78.0.2";

/// What the guest prints when both networks answer.
const READY: &str = "both networks are there";

/// How long the guest may take for that.
const BOOT: Duration = Duration::from_secs(60);

pub fn test(image: &Image, hardware: Hardware, namespace: Namespace) -> Result<(), Failure> {
    namespace.add_interface(INTERFACE, OUR_ADDRESS)?;
    let transport = hardware.machine_for(image.arch)?.transport();
    let extra = [
        "-netdev",
        &format!("tap,id=net1,ifname={INTERFACE},script=no,downscript=no"),
        "-device",
        &format!("virtio-net-{transport},netdev=net1"),
    ];
    let extra = extra.map(str::to_owned).to_vec();
    let arguments = [format!("net1.ip={ADDRESS}/24")];
    let mut guest = TestGuest::start_in_with(namespace, image, hardware, &arguments, extra)?;
    answers(&mut guest).map_err(|error| guest.failure(&error))
}

/// Each address answers ping and nc, and says on which network it is.
fn answers(guest: &mut TestGuest) -> Result<()> {
    guest.until("both networks", BOOT, |console| console.contains(READY).then_some(()))?;
    for (address, expected) in
        [(GUEST_ADDRESS, "network 0: hello\n"), (ADDRESS, "network 1: hello\n")]
    {
        let mut ping = Command::new("ping");
        ping.args(["-c", "2", "-i", "0.2", "-W", "5", address]);
        client::run(&mut guest.client(&ping), &[])?;
        let mut nc = Command::new("nc");
        nc.args(["-N", "-w", "10", address, "7"]);
        let output = client::run(&mut guest.client(&nc), b"hello\n")?.stdout;
        let answer = String::from_utf8_lossy(&output);
        ensure!(answer == expected, "{address} answers `{answer}`, not `{expected}`");
    }
    Ok(())
}
