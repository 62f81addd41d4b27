//! Xen ends a guest whose tasks no longer have their turns.

use core::{num::NonZeroU32, time::Duration};

use mayfly_xen::XenError;

use super::Xen;
use crate::{Error, Result, executor, executor::JoinHandle, time};

/// Least time that a watchdog gives, which Xen counts in seconds.
const LEAST: Duration = Duration::from_secs(1);

/// A watchdog. It ends when this is dropped.
#[derive(Debug)]
pub struct Watchdog {
    _task: JoinHandle<()>,
}

impl Xen {
    /// Has Xen end this guest when for so long, in whole seconds and at least one, no task had its
    /// turn: when one of them does not return, or all of it stands still. What happens then is up to
    /// `on_watchdog` in the guest's configuration. A task puts it off three times in that time, and
    /// that is as often as an idle guest wakes up for it.
    ///
    /// # Errors
    /// [`Error::App`] if there are two watchdogs already, [`Error::Join`] if there is no memory for
    /// a task.
    pub fn watchdog(&self, patience: Duration) -> Result<Watchdog> {
        let seconds = patience.max(LEAST).as_secs();
        let seconds = u32::try_from(seconds).ok().and_then(NonZeroU32::new);
        let seconds = seconds.unwrap_or(NonZeroU32::MAX);
        let started = mayfly_xen::Watchdog::start(seconds);
        let watchdog = started.map_err(|_: XenError| {
            Error::App("there is no further watchdog: a guest of Xen may have two")
        })?;
        let interval = Duration::from_secs(seconds.get().into()) / 3;
        let task = executor::try_spawn("watchdog", async move {
            loop {
                time::sleep(interval).await;
                watchdog.put_off();
            }
        });
        Ok(Watchdog { _task: task? })
    }
}
