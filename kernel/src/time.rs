//! Clocks and timers. One interrupt is asked for, at the earliest deadline; without timers there
//! are none.

mod instant;
mod interval;
mod queue;
mod sleep;
mod timeout;

use core::cell::{Cell, RefCell};
pub use core::time::Duration;

use mayfly_arch::clock;

pub use instant::Instant;
pub use interval::{Interval, interval};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{TimedOut, Timeout, Watchdog, Watched, timeout, timeout_at};

use queue::TimerQueue;

mayfly_arch::local! {
    static TIMERS: Timers = Timers {
        queue: RefCell::new(TimerQueue::new()),
        earliest: Cell::new(NEVER),
    };
}

/// The deadline of no timer.
const NEVER: u64 = u64::MAX;

struct Timers {
    queue: RefCell<TimerQueue>,
    /// The earliest deadline in the queue, to be looked at after every few polls.
    earliest: Cell<u64>,
}

impl Timers {
    fn with<R>(f: impl FnOnce(&mut TimerQueue) -> R) -> R {
        TIMERS.with(|timers| {
            let mut queue = timers.queue.borrow_mut();
            let result = f(&mut queue);
            timers.earliest.set(queue.earliest().unwrap_or(NEVER));
            result
        })
    }
}

/// Time since 1970-01-01 00:00 UTC, or `None` on a machine without a clock that tells it. It can
/// jump when somebody sets that clock; measure with [`Instant`].
pub fn wall_clock() -> Option<Duration> {
    clock::wall_clock().map(Duration::from_nanos)
}

/// The deadline of the earliest timer, as the clock counts.
pub(crate) fn next_deadline() -> Option<u64> {
    Some(TIMERS.with(|timers| timers.earliest.get())).filter(|earliest| *earliest != NEVER)
}

/// Wakes all tasks whose timers are due.
#[inline]
pub(crate) fn fire_due() {
    if TIMERS.with(|timers| timers.earliest.get()) != NEVER {
        fire_until(clock::now());
    }
}

fn fire_until(now: u64) {
    while TIMERS.with(|timers| timers.earliest.get()) <= now {
        if let Some(waker) = Timers::with(|queue| queue.pop_due(now)) {
            waker.wake();
        }
    }
}

/// Nanoseconds in `duration`; one of more than 584 years lasts for ever.
fn nanoseconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}
