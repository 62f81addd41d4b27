//! The devices that the app waits for. What is not urgent waits for them as well: whoever keeps
//! XenStore, and the back ends, share the processor with the guest as a rule, so that whatever is
//! asked meanwhile has the devices connect later.

use alloc::rc::Rc;
use core::{cell::Cell, time::Duration};

use crate::{sync::Notify, time};

/// How long that may take. A back end may never be ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many devices the app waits for. Clones count the same ones.
#[derive(Clone, Default)]
pub(crate) struct Awaited(Rc<Count>);

#[derive(Default)]
struct Count {
    devices: Cell<usize>,
    /// There are none any more.
    none: Notify,
}

/// One device, until this is dropped.
pub(crate) struct AwaitedDevice(Awaited);

impl Awaited {
    /// The app begins to wait for one more.
    pub(crate) fn add(&self) -> AwaitedDevice {
        self.0.devices.set(self.0.devices.get() + 1);
        AwaitedDevice(self.clone())
    }

    /// Waits until there are none, for a second at most.
    pub(super) async fn none(&self) {
        let none = async {
            while self.0.devices.get() > 0 {
                self.0.none.notified().await;
            }
        };
        // There may be none to wait for, and then no timer is needed.
        if self.0.devices.get() > 0 {
            let _ = time::timeout(PATIENCE, none).await;
        }
    }
}

impl Drop for AwaitedDevice {
    fn drop(&mut self) {
        let Self(Awaited(count)) = self;
        count.devices.set(count.devices.get() - 1);
        if count.devices.get() == 0 {
            count.none.notify_all();
        }
    }
}
