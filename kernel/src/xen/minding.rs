//! The tasks that watch over devices, and which devices were detached.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::cell::RefCell;

use mayfly_xen::bus::{BusError, ConnectError, Minder};

use crate::{executor, time};

/// The names of devices that were detached and not started again since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detached(Rc<RefCell<Vec<String>>>);

impl Detached {
    /// Whether the device of this name was detached: one that has the name now is another.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.borrow().iter().any(|other| other == name)
    }

    /// Starts the task that watches over the device of this name, as its driver wants it.
    pub(crate) fn mind(&self, task: &'static str, name: String, minder: Minder) {
        self.0.borrow_mut().retain(|other| *other != name);
        let minded = minder.run(Box::new(|time| Box::pin(time::sleep(time))));
        let detached = self.clone();
        executor::spawn_essential(task, async move {
            let reason = minded.await;
            if reason != ConnectError::Bus(BusError::Unused) {
                log::warn!("{name}: {reason}");
            }
            if reason == ConnectError::Bus(BusError::Gone) {
                detached.0.borrow_mut().push(name);
            }
        })
        .detach();
    }
}
