//! Devices of one kind, each with its handle once it was asked for.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{
    any::Any,
    cell::{Cell, RefCell},
    mem,
};

use crate::{
    Result,
    sync::{Mutex, MutexGuard},
};

/// Devices of one kind. What is made of them is kept without its type, so that an image only holds
/// the kinds that its app asks for.
pub(super) struct Slots<F> {
    slots: RefCell<Vec<Place<F>>>,
    /// Held by who looks for devices.
    looking: Mutex<()>,
    /// Those that come later, on their way, without their type as well. Held by who waits for one.
    arrivals: Mutex<Option<Box<dyn Any>>>,
    /// Whether those were added that take time to find.
    is_complete: Cell<bool>,
    /// What those are called that may come and go.
    names: RefCell<Vec<String>>,
}

/// The place of a device, which keeps its number.
struct Place<F> {
    slot: Slot<F>,
    /// Held by who starts it: others may be started meanwhile, if its back end keeps it waiting.
    starting: Rc<Mutex<()>>,
}

/// A device before and after it was first asked for.
enum Slot<F> {
    Idle(F),
    Started(Box<dyn Any>),
    /// Starting it failed.
    Lost,
}

/// A device that was found, and that a driver can be started for.
pub(super) trait Startable: Sized {
    /// Another one to try with if this one does not start, where that makes sense.
    fn again(&self) -> Option<Self>;

    /// What it is called, if it may come and go.
    fn name(&self) -> Option<&str>;
}

impl<F: Startable> Slots<F> {
    pub(super) fn new(devices: impl IntoIterator<Item = F>) -> Self {
        let slots = RefCell::new(devices.into_iter().map(Place::idle).collect());
        let (is_complete, names) = (Cell::new(false), RefCell::default());
        let (looking, arrivals) = (Mutex::new(()), Mutex::new(None));
        Self { slots, looking, arrivals, is_complete, names }
    }

    /// Waits until nobody else looks for devices.
    pub(super) async fn look(&self) -> MutexGuard<'_, ()> {
        self.looking.lock().await
    }

    /// Waits until nobody else waits for devices that come.
    pub(super) async fn arrivals(&self) -> MutexGuard<'_, Option<Box<dyn Any>>> {
        self.arrivals.lock().await
    }

    /// How many devices there are.
    pub(super) fn count(&self) -> usize {
        self.slots.borrow().len()
    }

    /// Whether [`complete`](Self::complete) was called.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.get()
    }

    /// Adds the devices that take time to find.
    pub(super) fn complete(&self, devices: impl IntoIterator<Item = F>) {
        for device in devices {
            self.names.borrow_mut().extend(device.name().map(Into::into));
            self.slots.borrow_mut().push(Place::idle(device));
        }
        self.is_complete.set(true);
    }

    /// Leaves of the names of the devices that there are now those that were not there before. Those
    /// that are not there any more may come again, and so may those that are not the same according
    /// to `is_same`.
    pub(super) fn new_among(
        &self,
        mut devices: Vec<String>,
        is_same: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut names = self.names.borrow_mut();
        names.retain(|name| is_same(name) && devices.contains(name));
        devices.retain(|device| !names.contains(device));
        devices
    }

    /// Adds a device that has come, and works.
    pub(super) fn add<H: 'static>(&self, name: String, handle: H) {
        self.names.borrow_mut().push(name);
        self.slots.borrow_mut().push(Place::new(Slot::Started(Box::new(handle))));
    }

    /// The handle to device number `index`, which `start` makes when there is none yet; `None` if
    /// there is no such device, or if it does not work.
    pub(super) async fn handle<H: Clone + 'static>(
        &self,
        index: usize,
        start: impl AsyncFnOnce(F) -> Option<Result<H>>,
    ) -> Option<Result<H>> {
        let starting = self.slots.borrow().get(index).map(|place| Rc::clone(&place.starting))?;
        let _starting = starting.lock().await;
        let found = match self.take(index)? {
            Slot::Started(handle) => {
                let copy = handle.downcast_ref().cloned().map(Ok);
                self.put(index, Slot::Started(handle));
                return copy;
            }
            Slot::Idle(found) => found,
            Slot::Lost => return None,
        };
        // For when this is dropped half-way, or fails.
        if let Some(again) = found.again() {
            self.put(index, Slot::Idle(again));
        }
        let handle = start(found).await?;
        if let Ok(handle) = &handle {
            self.put(index, Slot::Started(Box::new(handle.clone())));
        }
        Some(handle)
    }

    fn take(&self, index: usize) -> Option<Slot<F>> {
        let mut slots = self.slots.borrow_mut();
        slots.get_mut(index).map(|place| mem::replace(&mut place.slot, Slot::Lost))
    }

    fn put(&self, index: usize, value: Slot<F>) {
        if let Some(place) = self.slots.borrow_mut().get_mut(index) {
            place.slot = value;
        }
    }
}

impl<F> Place<F> {
    fn new(slot: Slot<F>) -> Self {
        Self { slot, starting: Rc::new(Mutex::new(())) }
    }

    fn idle(device: F) -> Self {
        Self::new(Slot::Idle(device))
    }
}

#[cfg(test)]
mod tests {
    use core::{
        future::pending,
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;

    impl Startable for &'static str {
        fn again(&self) -> Option<Self> {
            Some(self)
        }

        fn name(&self) -> Option<&str> {
            Some(self)
        }
    }

    /// What `future` comes to, if it does not wait.
    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_device_that_keeps_waiting_holds_up_only_who_wants_it() {
        let slots = Slots::new(["slow", "fast"]);
        let starts = Cell::new(0);
        let start = async |name| {
            starts.set(starts.get() + 1);
            if name == "slow" {
                pending::<()>().await;
            }
            Some(Ok(name))
        };
        let mut first = Box::pin(slots.handle(0, &start));
        let mut second = pin!(slots.handle(0, &start));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        for _ in 0..2 {
            let Poll::Ready(Some(Ok(name))) = poll(pin!(slots.handle(1, &start))) else {
                panic!("it waits for another");
            };
            assert_eq!((name, starts.get()), ("fast", 2));
        }
        drop(first);
        assert!(poll(second.as_mut()).is_pending());
        assert_eq!(starts.get(), 3);
    }

    #[test]
    fn what_has_come_is_new_once_and_again_when_it_was_away() {
        let slots = Slots::new(["b"]);
        slots.complete(["vbd/0"]);
        let new = |names: &str, is_same: fn(&str) -> bool| {
            slots.new_among(names.split(' ').map(Into::into).collect(), is_same).join(" ")
        };
        assert_eq!(new("vbd/0", |_| true), "");
        assert_eq!(new("vbd/0 vbd/1 vbd/2", |_| true), "vbd/1 vbd/2");
        slots.add("vbd/1".into(), 7);
        assert_eq!((new("vbd/0 vbd/1", |_| true), slots.count()), (String::new(), 3));
        assert_eq!(new("vbd/1", |_| true), "");
        assert_eq!(new("vbd/1 vbd/0", |_| true), "vbd/0");
        // The other one was away, while nobody looked.
        assert_eq!(new("vbd/1", |name| name != "vbd/1"), "vbd/1");
    }
}
