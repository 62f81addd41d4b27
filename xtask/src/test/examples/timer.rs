//! timer: ticks, and ends.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Check, PATIENCE, check};
use crate::test::guest::TestGuest;

/// How often it ticks.
const COUNT: usize = 12;
/// Ticks whose time is taken together, and the time that they should take.
const WINDOW: usize = 8;
const EXPECTED: Duration = Duration::from_secs(2);
/// How much less or more it may seem here, where a tick is seen late if the host is busy.
const LESS: Duration = Duration::from_millis(200);
const MORE: Duration = Duration::from_millis(600);

pub const CHECKS: &[Check] =
    &[Check { arguments: &["count=12", "period=250ms"], ..check("ticks", ticks) }];

/// It ticks as often as it was told, and as fast by the host's clock as by its own.
fn ticks(guest: &mut TestGuest) -> Result<()> {
    let mut seen = Vec::new();
    for number in 1..=COUNT {
        let line = format!("tick {number}\n");
        guest.until(line.trim(), PATIENCE, |console| console.contains(&line).then_some(()))?;
        seen.push(Instant::now());
    }
    let status = guest.wait(PATIENCE)?;
    ensure!(status == 0, "its exit status is {status}");
    ensure!(guest.console().matches("tick ").count() == COUNT, "it ticks more than {COUNT} times");
    let mut windows: Vec<Duration> =
        seen.windows(WINDOW + 1).map(|times| times[WINDOW] - times[0]).collect();
    windows.sort();
    let usual = windows[windows.len() / 2];
    let is_right = (EXPECTED - LESS..EXPECTED + MORE).contains(&usual);
    ensure!(is_right, "what is {EXPECTED:?} to the guest takes {usual:?}, of {windows:?}");
    Ok(())
}
