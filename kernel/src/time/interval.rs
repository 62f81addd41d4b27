//! Regular ticks.

use core::time::Duration;

use super::{Instant, Sleep, nanoseconds, sleep_until};

/// Ticks every `period`, for the first time one period from now.
///
/// # Panics
/// When `period` is zero.
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must not be zero");
    let next = Instant::now() + period;
    Interval { period, next, sleep: sleep_until(next) }
}

/// Regular ticks that do not drift, however long the work between them takes. Ticks whose time
/// passes while nobody waits for them are left out, except the last.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Instant,
    sleep: Sleep,
}

impl Interval {
    /// Waits for the next tick and returns the time that it was due. Dropping the future loses
    /// no tick.
    pub async fn tick(&mut self) -> Instant {
        (&mut self.sleep).await;
        let late = nanoseconds(Instant::now() - self.next);
        let period = nanoseconds(self.period);
        let tick = self.next + Duration::from_nanos(late - late % period);
        self.next = tick + self.period;
        self.sleep.reset(self.next);
        tick
    }

    /// Time between two ticks.
    pub const fn period(&self) -> Duration {
        self.period
    }
}
