//! A watchdog of Xen's: it ends a guest that no longer puts it off (xen/include/public/sched.h).

use core::{cell::Cell, num::NonZeroU32};

use crate::{XenError, hypercalls, incarnation::Incarnation};

/// A watchdog, which ends with this. A domain may have two (`NR_DOMAIN_WATCHDOG_TIMERS` in
/// xen/include/xen/sched.h).
#[derive(Debug)]
pub struct Watchdog {
    id: Cell<u32>,
    /// The domain that it is in.
    domain: Cell<Incarnation>,
    seconds: NonZeroU32,
}

impl Watchdog {
    /// Has Xen end this domain in so many seconds, for the reason `SHUTDOWN_watchdog`.
    ///
    /// # Errors
    /// [`XenError`]: there are two already.
    pub fn start(seconds: NonZeroU32) -> Result<Self, XenError> {
        let id = hypercalls::watchdog(0, seconds.get())?;
        Ok(Self { id: Cell::new(id), domain: Cell::new(Incarnation::current()), seconds })
    }

    /// Puts it off: all the seconds are to come again.
    pub fn put_off(&self) {
        let seconds = self.seconds.get();
        if !self.domain.get().is_over() {
            // It is there, so there is nothing to refuse.
            let _ = hypercalls::watchdog(self.id.get(), seconds);
        } else if let Ok(id) = hypercalls::watchdog(0, seconds) {
            // There was none in this domain. The old number may be another's here.
            self.id.set(id);
            self.domain.set(Incarnation::current());
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if !self.domain.get().is_over() {
            // As above.
            let _ = hypercalls::watchdog(self.id.get(), 0);
        }
    }
}
