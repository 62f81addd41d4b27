//! A watchdog of Xen's: it ends a guest that no longer puts it off (xen/include/public/sched.h).

use core::{cell::Cell, num::NonZeroU32};

use crate::{XenError, hypercalls};

/// A watchdog, which ends with this. A domain may have two (`NR_DOMAIN_WATCHDOG_TIMERS` in
/// xen/include/xen/sched.h).
#[derive(Debug)]
pub struct Watchdog {
    id: Cell<u32>,
    seconds: NonZeroU32,
}

impl Watchdog {
    /// Has Xen end this domain in so many seconds, for the reason `SHUTDOWN_watchdog`.
    ///
    /// # Errors
    /// [`XenError`]: there are two already.
    pub fn start(seconds: NonZeroU32) -> Result<Self, XenError> {
        let id = hypercalls::watchdog(0, seconds.get())?;
        Ok(Self { id: Cell::new(id), seconds })
    }

    /// Puts it off: all the seconds are to come again.
    pub fn put_off(&self) {
        let seconds = self.seconds.get();
        // It is there, so there is nothing to refuse; but there is none at first when the guest is in
        // another domain.
        if hypercalls::watchdog(self.id.get(), seconds).is_err()
            && let Ok(id) = hypercalls::watchdog(0, seconds)
        {
            self.id.set(id);
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // As above.
        let _ = hypercalls::watchdog(self.id.get(), 0);
    }
}
