//! Time passes at the right speed, timers fire in order, and never early.
//@ machine: qemu hyp-gic2 hyp-gic3 xen
//@ smp: 4
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::check;
use mayfly::{
    Result, spawn,
    time::{Instant, sleep_until, timeout},
};

#[mayfly::main]
async fn main() -> Result {
    let start = Instant::now();
    // Deadlines, not durations: the host may stop for a while between the two.
    let sleeper = |milliseconds| {
        spawn(async move {
            sleep_until(start + Duration::from_millis(milliseconds)).await;
            Instant::now()
        })
    };
    let (late, early) = (sleeper(60), sleeper(30));
    let (Ok(late), Ok(early)) = (late.await, early.await) else {
        return check(false, "a task was lost");
    };
    check(early <= late, "timers fired out of order")?;
    check(early >= start + Duration::from_millis(30), "a timer fired early")?;
    check(late < start + Duration::from_secs(10), "a timer fired much too late")?;

    let never = timeout(Duration::from_millis(10), core::future::pending::<()>()).await;
    check(never.is_err(), "a timeout did not fire")?;

    let mut last = Instant::now();
    for _ in 0..10_000 {
        let now = Instant::now();
        check(now >= last, "the clock went backwards")?;
        last = now;
    }
    guests::pass()
}
