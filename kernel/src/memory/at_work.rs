//! Whether the allocator is in the middle of a change to its tables.
//!
//! A panic or a fault that happens there leaves it so: the tables are not to be looked at any more
//! then, neither by the report nor by an app that would survive the panic. The few instructions of
//! [`Heap::take`](super::heap) do without: what they change is a list that nothing else looks at.

use core::sync::atomic::{AtomicBool, Ordering};

static IS_AT_WORK: AtomicBool = AtomicBool::new(false);

/// The allocator is at work as long as this exists. One at a time.
pub(super) struct AtWork;

impl AtWork {
    pub(super) fn begin() -> Self {
        IS_AT_WORK.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        IS_AT_WORK.store(false, Ordering::Relaxed);
    }
}

/// Whether it is, or was interrupted by its own end.
#[cfg(target_os = "none")]
pub(crate) fn is_at_work() -> bool {
    IS_AT_WORK.load(Ordering::Relaxed)
}
