//! How often a device is connected again whose back end does not stay.

use core::time::Duration;

/// A connection that lasts so long is none of those that end at once.
pub(super) const CALM: Duration = Duration::from_secs(10);

/// Losses in a row after which the next try waits: more than an update of a back end, or a test of
/// one, takes.
const PATIENCE: u32 = 8;
/// The first pause, which doubles up to the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Counts the losses in a row, between which no connection lasted.
#[derive(Default)]
pub(super) struct Pace {
    losses: u32,
}

impl Pace {
    /// A connection was lost, or came to nothing. Returns how long to leave the back end alone.
    pub(super) fn lose(&mut self) -> Duration {
        self.losses = self.losses.saturating_add(1);
        match self.losses.checked_sub(PATIENCE) {
            None | Some(0) => Duration::ZERO,
            Some(more) => LONGEST.min(FIRST * (1 << (more - 1).min(16))),
        }
    }

    /// Whether the log is told of each loss.
    pub(super) fn is_told(&self) -> bool {
        self.losses <= PATIENCE
    }

    /// Whether this is the first that the log is not told of.
    pub(super) fn is_last_told(&self) -> bool {
        self.losses == PATIENCE + 1
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let mut pace = Pace::default();
        let pauses: Vec<_> = (0..200).map(|_| pace.lose()).collect();
        assert!(pauses[..8].iter().all(Duration::is_zero));
        assert_eq!(pauses[8..11], [100, 200, 400].map(Duration::from_millis));
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&LONGEST));
        pace.losses = u32::MAX;
        assert_eq!((pace.lose(), pace.is_told()), (LONGEST, false));
    }
}
