//! Thousands of short connections to a guest, which looks at its memory before and after.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::build::Image;
use crate::run::Hardware;
use crate::temporary::TemporaryFile;
use crate::test::case::Failure;
use crate::test::examples::client;
use crate::test::guest::TestGuest;
use crate::test::guests;
use crate::test::namespace::{GUEST_ADDRESS, Namespace};

/// Connections at once.
const AT_ONCE: u32 = 100;
/// The guest counts as many, and then as many more.
const FIRST: u32 = 1_000;
const MORE: u32 = 10_000;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the client asks with ends so; the guest answers with what it was asked.
const END: &str = "Connection: close\r\n\r\n";

pub fn test(image: &Image, hardware: Hardware, namespace: Namespace) -> Result<(), Failure> {
    let mut guest = TestGuest::start_in(namespace, image, hardware, &[])?;
    is_as_before(&mut guest).map_err(|error| guest.failure(&error))
}

fn is_as_before(guest: &mut TestGuest) -> Result<()> {
    let ping = ["-c", "1", "-w", "30", GUEST_ADDRESS];
    client::run(&mut guest.client(Command::new("ping").args(ping)), &[])?;
    connect(guest, FIRST)?;
    let line = format!("after {FIRST} connections");
    guest.until("first count", PATIENCE, |console| console.contains(&line).then_some(()))?;
    connect(guest, MORE)?;
    let status = guest.wait(PATIENCE).context("after all connections")?;
    guests::judge(&Default::default(), status, &guest.console())
}

/// Opens so many connections, some at once, which are all served, and closed by us first.
fn connect(guest: &TestGuest, count: u32) -> Result<()> {
    let file = TemporaryFile::new("end")?;
    fs::write(file.path(), END)?;
    let mut burst = Command::new(std::env::current_exe()?);
    burst.args(["burst", "--close", "--rounds", &(count / AT_ONCE).to_string()]);
    burst.args([&format!("{GUEST_ADDRESS}:80"), &AT_ONCE.to_string(), "/"]).arg(file.path());
    let output = client::run(&mut guest.client(&burst), &[])?;
    let output = String::from_utf8_lossy(&output.stdout);
    ensure!(output == format!("{count} served\n"), "of {count} connections, {output}");
    Ok(())
}
