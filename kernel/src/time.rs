//! Clocks and timers. One interrupt is asked for, at the earliest deadline; without timers there
//! are none.

mod instant;
mod interval;
mod queue;
mod sleep;
mod timeout;

use core::{cell::RefCell, time::Duration};

use mayfly_arch::clock;

pub use instant::Instant;
pub use interval::{Interval, interval};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{TimedOut, Timeout, timeout, timeout_at};

use queue::TimerQueue;

mayfly_arch::local! {
    static TIMERS: RefCell<TimerQueue> = RefCell::new(TimerQueue::new());
}

/// Time since 1970-01-01 00:00 UTC, or `None` on a machine without a clock that tells it. It can
/// jump when somebody sets that clock; measure with [`Instant`].
pub fn wall_clock() -> Option<Duration> {
    clock::wall_clock().map(Duration::from_nanos)
}

/// The deadline of the earliest timer, as the clock counts.
pub(crate) fn next_deadline() -> Option<u64> {
    TIMERS.with(|timers| timers.borrow().earliest())
}

/// Wakes all tasks whose timers are due.
pub(crate) fn fire_due() {
    TIMERS.with(|timers| {
        if timers.borrow().earliest().is_none() {
            return;
        }
        let now = clock::now();
        loop {
            let waker = timers.borrow_mut().pop_due(now);
            match waker {
                Some(waker) => waker.wake(),
                None => break,
            }
        }
    });
}

/// Nanoseconds in `duration`; one of more than 584 years lasts for ever.
fn nanoseconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}
