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
    let windows: Vec<Duration> =
        seen.windows(WINDOW + 1).map(|times| times[WINDOW] - times[0]).collect();
    ensure!(are_right(&windows), "what is {EXPECTED:?} to the guest takes {windows:?}");
    Ok(())
}

/// Whether the guest's clock goes as fast as the host's, by what some windows took here. If it does not,
/// all are too long, or all too short. A host that stands still for a while makes those too long that end
/// then, and those too short that begin.
fn are_right(windows: &[Duration]) -> bool {
    windows.iter().any(|window| *window < EXPECTED + MORE)
        && windows.iter().any(|window| *window > EXPECTED - LESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_from_a_host_that_stands_still() {
        let right = |times: &[u64]| {
            let times: Vec<Duration> =
                times.iter().map(|time| Duration::from_millis(*time)).collect();
            are_right(&times)
        };
        assert!(right(&[2000, 2010, 1990, 2000]));
        assert!(right(&[1716, 2878, 2994, 3087]) && right(&[1100, 1050, 2000, 2000]));
        assert!(!right(&[2700, 2710, 2690, 2900]) && !right(&[1700, 1710, 1690, 1000]));
    }
}
