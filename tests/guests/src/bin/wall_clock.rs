//! The guest has the time of day from Xen, and it is dom0's.
//@ machine: xen
//@ network: none
//@ dom0: clock.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::check;
use mayfly::{
    Machine, Result,
    time::{self, timeout},
};

const PATIENCE: Duration = Duration::from_secs(40);
/// Seconds between dom0's look at its clock and the guest's, at most, and by how much Xen, which dom0
/// tells the time now and then, may be behind.
const LATE: u64 = 60;
const BEHIND: u64 = 5;

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let store = machine.xen().ok_or("there is no Xen")?.store();
    let mut watch = store.watch("data/time").await?;
    let theirs = timeout(PATIENCE, async {
        loop {
            watch.next().await?;
            if let Ok(text) = store.read_text("data/time").await
                && let Ok(seconds) = text.parse::<u64>()
            {
                return Ok::<u64, mayfly::Error>(seconds);
            }
        }
    });
    let Ok(theirs) = theirs.await else { return guests::fail("dom0 does not tell the time") };
    let (theirs, ours) =
        (theirs?, time::wall_clock().ok_or("Xen has not told the time")?.as_secs());
    mayfly::println!("dom0 has had {theirs}, the guest has {ours}");
    check((theirs.saturating_sub(BEHIND)..=theirs + LATE).contains(&ours), "the clock is wrong")?;
    guests::pass()
}
