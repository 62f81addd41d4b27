//! Waiting tasks.

use alloc::vec::Vec;
use core::task::Waker;

/// Room for the one task that waits for something.
#[derive(Default)]
pub(super) struct WakerSlot(Option<Waker>);

impl WakerSlot {
    /// Nobody waits.
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// The task waits now, in the place of another one.
    #[inline]
    pub(super) fn register(&mut self, waker: &Waker) {
        match &self.0 {
            Some(known) if known.will_wake(waker) => {}
            _ => self.0 = Some(waker.clone()),
        }
    }

    /// Wakes the task, which does not wait any more.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Wakes the task, which goes on waiting.
    pub(super) fn wake_by_ref(&self) {
        if let Some(waker) = &self.0 {
            waker.wake_by_ref();
        }
    }
}

/// The tasks that wait for something.
#[derive(Default)]
pub(super) struct WakerList(Vec<Waker>);

impl WakerList {
    /// The task waits too.
    pub(super) fn register(&mut self, waker: &Waker) {
        if self.0.iter().any(|known| known.will_wake(waker)) {
            return;
        }
        if self.0.try_reserve(1).is_ok() {
            self.0.push(waker.clone());
        } else {
            // Without memory, it looks again and again.
            waker.wake_by_ref();
        }
    }

    /// Wakes all of them; they do not wait any more.
    #[inline]
    pub(super) fn wake(&mut self) {
        if !self.0.is_empty() {
            self.wake_each();
        }
    }

    #[cold]
    fn wake_each(&mut self) {
        for waker in self.0.drain(..) {
            waker.wake();
        }
    }
}
