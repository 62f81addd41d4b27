//! Records that a guest is not to use, each for a reason of its own, and what it says of them.

use anyhow::{Context, Result};

use super::NODE;
use crate::lab::Session;

/// Clients that are not there, by their nodes below the port's, and how the log begins about each.
const MALFORMED: (&str, &str) = ("10-99-0-200/5", "10.99.0.200:5");
const STUBBORN: (&str, &str) = ("10-99-0-201/6", "10.99.0.201:6");
const STALE: (&str, &str) = ("10-99-0-202/7", "10.99.0.202:7");

/// Age of the stale record, in seconds.
const AGE: u64 = 1000;

/// What the guest says of those that are there before it: what is wrong with them.
pub fn refused() -> [String; 3] {
    [
        line(MALFORMED.1, "its `options`"),
        line(STUBBORN.1, "XenStore does not permit it"),
        line(STALE.1, "its client has given up by now"),
    ]
}

/// What it says of a client that has a record although it is, or was, connected.
pub fn duplicate(client: &str) -> String {
    line(client, "its client is connected already")
}

fn line(client: &str, error: &str) -> String {
    format!("{client} to {}:80 is not taken over: {error}", super::ADDRESS)
}

/// Writes records before the guest is there: one with a node only, one that the guest can read, and
/// not remove, and one that was good some time ago.
///
/// # Errors
/// If dom0 does not do it.
pub fn write(session: &mut Session) -> Result<()> {
    let path = |(client, _): (&str, &str)| format!("{NODE}/80/{client}");
    let stubborn = path(STUBBORN);
    session.succeed(&format!(
        "xenstore-write {malformed}/syn/sequence 7; \
         xenstore-write {stubborn}/syn/sequence 7; xenstore-chmod -r {stubborn} r0; \
         {stale}",
        malformed = path(MALFORMED),
        stale = whole(&path(STALE), AGE),
    ))?;
    Ok(())
}

/// Writes a record of a client that has one already, or is connected: the first that the recorder
/// speaks of. Returns its address and port.
///
/// # Errors
/// If dom0 does not do it.
pub fn write_again(session: &mut Session, said: &str) -> Result<String> {
    let client = said.lines().find_map(|line| line.strip_prefix("recorded ")?.split(' ').next());
    let client = client.context("nothing is recorded")?;
    let node = client.replace('.', "-").replace(':', "/");
    session.succeed(&whole(&format!("{NODE}/80/{node}"), 0))?;
    Ok(client.into())
}

/// The command that writes a record in which nothing is wrong but its age.
fn whole(path: &str, age: u64) -> String {
    let path = format!("{path}/syn");
    format!(
        "xenstore-write {path}/sequence 7 {path}/tx_isn 9 {path}/tx_wnd 1000 \
         {path}/options '((MSS 1460))' {path}/time $(($(date +%s) - {age}))"
    )
}
