//! The devices that the app waits for. What is not urgent waits for them as well: whoever keeps
//! XenStore, and the back ends, share the processor with the guest as a rule, so that whatever is
//! asked meanwhile has the devices connect later. What counts is what the app asks the machine for by
//! [`network`](crate::Machine::network) and [`disk`](crate::Machine::disk).

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

#[cfg(test)]
mod tests {
    use mayfly_arch::simulation;

    use super::*;
    use crate::{
        executor::{run, spawn, yield_now},
        time::Instant,
    };

    #[test]
    fn without_a_device_nobody_waits() {
        simulation::start();
        run(async {
            let start = Instant::now();
            Awaited::default().none().await;
            assert_eq!(start.elapsed(), Duration::ZERO);
        });
    }

    #[test]
    fn the_last_device_ends_the_wait() {
        simulation::start();
        run(async {
            let awaited = Awaited::default();
            let [first, second] = [awaited.add(), awaited.add()];
            let others = awaited.clone();
            let start = Instant::now();
            let waiting = spawn(async move { others.none().await });
            yield_now().await;
            drop(first);
            // The next one is there before whoever waits looks.
            let third = awaited.add();
            drop(second);
            yield_now().await;
            assert!(!waiting.is_finished());
            drop(third);
            waiting.await.unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
        });
    }

    #[test]
    fn a_device_that_never_comes_is_not_waited_for_long() {
        simulation::start();
        run(async {
            let awaited = Awaited::default();
            let _never = awaited.add();
            let start = Instant::now();
            awaited.none().await;
            assert_eq!(start.elapsed(), PATIENCE);
        });
    }
}
