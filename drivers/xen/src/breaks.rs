//! Breaks of a task whose peer never lets it wait.
//!
//! The other side of a ring is on a processor of its own. It may fill the ring as fast as a task can
//! read it, and then the task would never give way to others.

use core::{cell::Cell, task::Context};

/// Polls between two breaks, those that end with waiting among them.
const MOST_BETWEEN: u8 = 32;

/// When the next break is due.
#[derive(Debug, Default)]
pub(crate) struct Breaks(Cell<u8>);

impl Breaks {
    /// Whether it is due at the next poll.
    pub(crate) fn is_next(&self) -> bool {
        self.0.get() == MOST_BETWEEN
    }

    /// Whether it is due at this poll: then the task is woken, and so comes after all others that are
    /// ready.
    pub(crate) fn is_due(&self, cx: &Context<'_>) -> bool {
        let is_due = self.is_next();
        if is_due {
            cx.waker().wake_by_ref();
        }
        self.0.set(if is_due { 0 } else { self.0.get() + 1 });
        is_due
    }
}
