//! timer: ticks, and ends.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{Check, PATIENCE, check};
use crate::test::guest::TestGuest;

pub const CHECKS: &[Check] =
    &[Check { arguments: &["count=5", "period=200ms"], ..check("ticks", ticks) }];

/// It ticks as often as it was told, and takes the time for it.
fn ticks(guest: &mut TestGuest) -> Result<()> {
    let start = Instant::now();
    let status = guest.wait(PATIENCE)?;
    let seconds = start.elapsed().as_secs_f32();
    let console = guest.console();
    ensure!(status == 0, "its exit status is {status}");
    ensure!(console.contains("tick 5") && !console.contains("tick 6"), "it does not tick 5 times");
    ensure!((0.8..8.0).contains(&seconds), "five ticks of 200 ms took {seconds} s");
    Ok(())
}
