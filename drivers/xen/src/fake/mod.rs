//! A guest for tests of front ends: its XenStore, grant table and event channels, all of them fakes,
//! and the other domain that they share things with.
//!
//! Nobody runs without having been woken: a forgotten event is a test that stands still.

extern crate std;

mod back;
mod clock;
mod device;
mod events;
mod ring;

use std::{
    boxed::Box,
    cell::{Cell, RefCell},
    iter,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
    vec::Vec,
};

use self::events::Channels;
pub(crate) use self::{
    back::Back,
    clock::Clock,
    device::{Started, Working},
    ring::BackRing,
};
use crate::{
    Sharing,
    events::EventChannels,
    grants::{Access, DomainId, ForeignPages, Grant, fake},
    incarnation::Incarnation,
    shared_page::{HeapPage, SharedPage, Window},
    store::fake::{Bench, Flag},
};

/// The domain of all back ends.
pub(crate) const DOM0: DomainId = DomainId(0);
/// Entries that are free in a new table with frames enough.
const FRAMES: usize = 4;
/// Places for pages of other domains.
pub(crate) const PLACES: usize = 64;

/// A guest.
pub(crate) struct Guest {
    pub(crate) bench: Bench,
    pub(crate) sharing: Sharing,
    channels: &'static Channels,
    page: SharedPage,
    xen: &'static fake::Fake,
    tasks: RefCell<Vec<Task>>,
    clock: Rc<Clock>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    waker: Waker,
}

impl Guest {
    pub(crate) fn new() -> Self {
        let (xen, grants) = fake::table(FRAMES);
        let channels: &Channels = Box::leak(Box::default());
        let page = SharedPage::new();
        let events = EventChannels::with(channels, page, events::PENDING, events::MASK).unwrap();
        let sharing = Sharing {
            events: Box::leak(Box::new(events)),
            grants,
            foreign: Box::leak(Box::new(ForeignPages::new(Window::with_memory(PLACES), xen))),
        };
        let (tasks, clock) = Default::default();
        Self { bench: Bench::new(), sharing, channels, page, xen, tasks, clock }
    }

    /// Starts a task; its result is there when it has ended.
    pub(crate) fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
    ) -> Rc<Cell<Option<T>>> {
        let result = Rc::new(Cell::new(None));
        let place = Rc::clone(&result);
        let future = Box::pin(async move { place.set(Some(future.await)) });
        let (flag, waker) = Flag::new();
        self.tasks.borrow_mut().push(Task { future, flag, waker });
        result
    }

    /// The tasks that have not ended, to be dropped.
    pub(crate) fn take_tasks(&self) -> impl Sized {
        self.tasks.take()
    }

    /// Runs everybody until all wait.
    ///
    /// # Panics
    /// If that never comes.
    pub(crate) fn settle(&self) {
        assert!(self.settle_for(100_000), "they never come to rest");
    }

    /// Runs everybody so often, or until all wait. Returns whether they do.
    pub(crate) fn settle_for(&self, steps: usize) -> bool {
        (0..steps).any(|_| {
            let is_moving = self.bench.step();
            let is_told = self.channels.deliver(self.page, self.sharing.events);
            !self.run_tasks() && !is_moving && !is_told
        })
    }

    fn run_tasks(&self) -> bool {
        let mut has_run = false;
        self.tasks.borrow_mut().retain_mut(|task| {
            if !task.flag.take() {
                return true;
            }
            has_run = true;
            task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_pending()
        });
        has_run
    }

    /// Puts the guest into another domain, in the order of `resume`.
    pub(crate) fn move_on(&self) {
        Incarnation::begin();
        self.channels.forget();
        self.sharing.events.resume();
        self.sharing.grants.clear();
        self.sharing.grants.resume();
        self.sharing.foreign.resume();
        self.bench.resume();
        Incarnation::announce();
    }

    /// The time that its tasks have, which stands still but for [`elapse`](Self::elapse).
    pub(crate) fn clock(&self) -> Rc<Clock> {
        Rc::clone(&self.clock)
    }

    /// Lets time pass, and everybody act on it.
    pub(crate) fn elapse(&self, time: Duration) {
        self.clock.elapse(time);
        self.settle();
    }

    /// Lets the guest map its own grants, and connect to its own event channels, as if it were
    /// another domain.
    pub(crate) fn face_itself(&self) {
        self.xen.granting.set(Some(self.sharing.grants));
        *self.channels.links.lock().unwrap() = Some(Default::default());
    }

    /// Ends that.
    pub(crate) fn face_others(&self) {
        self.xen.granting.set(None);
        *self.channels.links.lock().unwrap() = None;
    }

    /// The domain at the other end of a channel of this guest is gone.
    pub(crate) fn part(&self, port: u32) {
        self.channels.alone.lock().unwrap().insert(port);
    }

    /// Places where pages of other domains can be.
    pub(crate) fn places(&self) -> usize {
        self.sharing.foreign.free()
    }

    /// Sends the guest an event.
    pub(crate) fn raise(&self, port: u32) {
        self.channels.raise(self.page, self.sharing.events, port);
    }

    /// Takes all entries of the grant table but so many, until what it gives is dropped.
    pub(crate) fn take_grants(&self, left: usize) -> Vec<Grant<HeapPage>> {
        let page = || HeapPage::zeroed().expect("there is memory");
        let take = || self.sharing.grants.grant(DOM0, page(), Access::ReadOnly).ok();
        let mut taken: Vec<_> = iter::from_fn(take).collect();
        taken.truncate(taken.len().saturating_sub(left));
        taken
    }

    /// How many events the guest has sent through a channel since the last call.
    pub(crate) fn take_sent(&self, port: u32) -> usize {
        self.channels.take_sent(port)
    }

    /// What must be the same when all is over: free and deferred entries, and event channels.
    pub(crate) fn resources(&self) -> (usize, usize, usize) {
        let deferred = self.sharing.grants.poll_deferred();
        (self.sharing.grants.free(), deferred, self.channels.open())
    }
}

/// A task that waits for a device: what `poll_ready` is called with.
pub(crate) struct Waiter {
    flag: Arc<Flag>,
    waker: Waker,
}

impl Waiter {
    pub(crate) fn new() -> Self {
        let (flag, waker) = Flag::new();
        flag.take();
        Self { flag, waker }
    }

    /// Asks whether it is ready.
    pub(crate) fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.flag.take();
        poll(&mut Context::from_waker(&self.waker))
    }

    /// Whether it was woken since then.
    pub(crate) fn is_woken(&self) -> bool {
        self.flag.take()
    }
}
