//! disk: counts on a disk how often it was booted.

use anyhow::{Result, ensure};

use super::{Check, PATIENCE, check};
use crate::test::guest::TestGuest;

pub const CHECKS: &[Check] = &[
    Check { disk: Some("1M"), ..check("counts", counts) },
    Check {
        disk: Some("1M"),
        arguments: &["checksum=18446744073709551615"],
        ..check("refuses-too-much", refuses_too_much)
    },
    check("needs-a-disk", needs_a_disk),
];

/// What was written is there at the next boot.
fn counts(guest: &mut TestGuest) -> Result<()> {
    for boot in 1..=3 {
        let status = guest.wait(PATIENCE)?;
        let console = guest.console();
        ensure!(status == 0, "its exit status is {status}");
        ensure!(console.contains(&format!("booted {boot} times")), "boot {boot} is not counted");
        if boot < 3 {
            guest.again()?;
        }
    }
    Ok(())
}

/// More than the disk has is an error.
fn refuses_too_much(guest: &mut TestGuest) -> Result<()> {
    let status = guest.wait(PATIENCE)?;
    ensure!(status == 1, "its exit status is {status}");
    ensure!(guest.console().contains("beyond the end of the disk"), "it does not say why");
    Ok(())
}

/// Without a disk it ends with an error.
fn needs_a_disk(guest: &mut TestGuest) -> Result<()> {
    let status = guest.wait(PATIENCE)?;
    ensure!(status == 1, "its exit status is {status}");
    ensure!(guest.console().contains("disk"), "it does not say what is missing");
    Ok(())
}
