//! Points in time.

use core::{
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

use mayfly_arch::clock;

use super::nanoseconds;

/// A point in time, in nanoseconds since boot. It never runs backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Further away than any clock reaches.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The present.
    pub fn now() -> Self {
        Self(clock::now())
    }

    /// The instant that lies this many nanoseconds after boot.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since boot.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub const fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Time from here to the present; zero if this lies in the future.
    pub fn elapsed(self) -> Duration {
        Self::now().duration_since(self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::FAR_FUTURE`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the time of boot.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// As [`duration_since`](Self::duration_since).
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let instant = Instant::from_nanos(5);
        assert_eq!(instant + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(instant - Duration::from_nanos(6), Instant::from_nanos(0));
        assert_eq!(instant - Instant::FAR_FUTURE, Duration::ZERO);
    }
}
