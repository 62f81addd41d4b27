//! A device that connects with its back end.

extern crate std;

use std::{boxed::Box, cell::Cell, rc::Rc};

use super::Back;
use crate::{
    Sharing,
    bus::{ConnectError, Minder},
    store::Store,
};

/// A device, and who minds it, or why there is none.
pub(crate) type Started<D> = Result<(Box<D>, Minder), ConnectError>;

/// A device that works, with what minds it running.
pub(crate) struct Working<D: ?Sized> {
    pub(crate) device: Box<D>,
    /// Why it does not work any more.
    pub(crate) end: Rc<Cell<Option<ConnectError>>>,
}

impl Back<'_> {
    /// Has the guest connect the device by its driver's `start`, which is polled until it waits.
    pub(crate) fn begin<D: ?Sized + 'static>(
        &self,
        start: impl AsyncFnOnce(&Store, Sharing, &'static str) -> Started<D> + 'static,
    ) -> Rc<Cell<Option<Started<D>>>> {
        let store = self.guest.bench.store.clone();
        let (sharing, directory) = (self.guest.sharing, self.directory);
        let started = self.guest.spawn(async move { start(&store, sharing, directory).await });
        self.guest.settle();
        started
    }

    /// Has it connect from the beginning to the end, with these nodes of both sides. `map` is called
    /// when the front end has published what the back end maps.
    ///
    /// # Panics
    /// If it does not connect.
    pub(crate) fn connect<D: ?Sized + 'static, P>(
        &self,
        start: impl AsyncFnOnce(&Store, Sharing, &'static str) -> Started<D> + 'static,
        front: &[(&str, &str)],
        features: &[(&str, &str)],
        map: impl FnOnce(&Self) -> P,
    ) -> (Working<D>, P) {
        self.attach(front);
        self.offer(features);
        let started = self.begin(start);
        assert_eq!(self.front_state().as_deref(), Some("4"));
        let peer = map(self);
        self.set_state(4);
        let Some(Ok((device, minder))) = started.take() else { panic!("it does not connect") };
        let clock = self.guest.clock();
        let end = self.guest.spawn(minder.run(clock.sleeper()));
        self.guest.settle();
        (Working { device, end }, peer)
    }
}
