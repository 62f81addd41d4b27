//! Devices of one kind, each with its handle once it was asked for.

use alloc::{boxed::Box, string::String, vec::Vec};
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
    slots: RefCell<Vec<Slot<F>>>,
    /// Held by who looks for devices, or starts one.
    alone: Mutex<()>,
    /// Whether those were added that take time to find.
    is_complete: Cell<bool>,
    /// What those are called that may come and go.
    names: RefCell<Vec<String>>,
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
        let slots = RefCell::new(devices.into_iter().map(Slot::Idle).collect());
        let (is_complete, names) = (Cell::new(false), RefCell::default());
        Self { slots, alone: Mutex::new(()), is_complete, names }
    }

    /// Waits until nobody else looks for devices or starts one.
    pub(super) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.alone.lock().await
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
            self.slots.borrow_mut().push(Slot::Idle(device));
        }
        self.is_complete.set(true);
    }

    /// The first of the devices that there are now that was not there before. Those that are not
    /// there any more may come again.
    pub(super) fn first_new(&self, devices: Vec<F>) -> Option<F> {
        let mut names = self.names.borrow_mut();
        names.retain(|name| devices.iter().any(|device| device.name() == Some(name)));
        devices.into_iter().find(|device| {
            device.name().is_some_and(|name| names.iter().all(|known| known != name))
        })
    }

    /// Adds a device that has come, and works.
    pub(super) fn add<H: 'static>(&self, name: String, handle: H) {
        self.names.borrow_mut().push(name);
        self.slots.borrow_mut().push(Slot::Started(Box::new(handle)));
    }

    /// The handle to device number `index`, which `start` makes when there is none yet; `None` if
    /// there is no such device, or if it does not work. To be called [`alone`](Self::alone).
    pub(super) async fn handle<H: Clone + 'static>(
        &self,
        index: usize,
        start: impl AsyncFnOnce(F) -> Option<Result<H>>,
    ) -> Option<Result<H>> {
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
        self.slots.borrow_mut().get_mut(index).map(|slot| mem::replace(slot, Slot::Lost))
    }

    fn put(&self, index: usize, value: Slot<F>) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(index) {
            *slot = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    impl Startable for &'static str {
        fn again(&self) -> Option<Self> {
            Some(self)
        }

        fn name(&self) -> Option<&str> {
            Some(self)
        }
    }

    #[test]
    fn what_has_come_is_new_once_and_again_when_it_was_away() {
        let slots = Slots::new(["b"]);
        slots.complete(["vbd/0"]);
        assert_eq!(slots.first_new(vec!["vbd/0"]), None);
        assert_eq!(slots.first_new(vec!["vbd/0", "vbd/1", "vbd/2"]), Some("vbd/1"));
        slots.add("vbd/1".into(), 7);
        assert_eq!((slots.first_new(vec!["vbd/0", "vbd/1"]), slots.count()), (None, 3));
        assert_eq!(slots.first_new(vec!["vbd/1"]), None);
        assert_eq!(slots.first_new(vec!["vbd/1", "vbd/0"]), Some("vbd/0"));
    }
}
