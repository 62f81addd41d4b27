//! Xen ends a guest whose task does not return, and no other.
//@ machine: xen
//@ dies: 1
//@ shutdown: watchdog
//@ report: watchdog: put off
//@ report: watchdog: one that ended does nothing
//@ network: none

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{
    Machine, println,
    time::{Instant, sleep},
};

/// Long enough for a machine on which much else runs.
const PATIENCE: Duration = Duration::from_secs(6);

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result {
    let xen = machine.xen().ok_or("this is not Xen")?;
    let watchdog = xen.watchdog(PATIENCE)?;
    let second = xen.watchdog(Duration::from_secs(1000))?;
    guests::check(xen.watchdog(PATIENCE).is_err(), "there are more than two watchdogs")?;
    sleep(PATIENCE + PATIENCE / 4).await;
    println!("watchdog: put off");
    drop((watchdog, second));
    spin(PATIENCE + PATIENCE / 4);
    println!("watchdog: one that ended does nothing");
    let _watchdog = xen.watchdog(PATIENCE)?;
    // What was printed has its chance to be seen.
    sleep(Duration::from_millis(100)).await;
    spin(PATIENCE * 5);
    guests::fail("it goes on")
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        core::hint::spin_loop();
    }
}
