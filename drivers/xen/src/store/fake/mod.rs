//! The other side of the rings, for tests: a server with a tree, and what runs it and the driver.
//!
//! Nobody runs here without having been woken or notified: a forgotten event is a test that stands
//! still.

extern crate std;

mod server;
mod tree;

use std::{
    boxed::Box,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    string::{String, ToString},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    vec::Vec,
};

pub(super) use self::server::{Mischief, Server};
pub(crate) use self::tree::{DOMAIN, HOME};
use super::{
    Store, StoreError, connect,
    driver::{Channel, Driver},
};
use crate::shared_page::SharedPage;

/// The event channel: what each side has been told.
#[derive(Default)]
pub(super) struct Line {
    to_server: Cell<bool>,
    to_guest: Cell<Option<Waker>>,
}

impl Channel for Rc<Line> {
    fn notify(&self) {
        self.to_server.set(true);
    }

    fn watch(&self, cx: &mut Context<'_>) {
        self.to_guest.set(Some(cx.waker().clone()));
    }
}

/// Whether a task was woken.
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let flag = Arc::new(Self(AtomicBool::new(true)));
        (Arc::clone(&flag), flag.into())
    }

    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A guest's store and its server.
pub(crate) struct Bench {
    pub(super) page: SharedPage,
    pub(crate) store: Store,
    pub(super) server: RefCell<Server>,
    driver: RefCell<Option<Driver<Rc<Line>>>>,
    driver_flag: (Arc<Flag>, Waker),
    line: Rc<Line>,
    /// What the driver has ended with.
    pub(super) end: Cell<Option<StoreError>>,
    /// How often the driver has run.
    pub(super) polls: Cell<usize>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::at(0, 0)
    }

    /// With indices that begin at these, of requests and of replies.
    pub(super) fn at(requests: u32, replies: u32) -> Self {
        Self::on(SharedPage::new(), requests, replies)
    }

    /// The same, with rings on a page of zeros.
    pub(super) fn on(page: SharedPage, requests: u32, replies: u32) -> Self {
        for (offset, start) in [(0x800, requests), (0x808, replies)] {
            page.word(offset).store(start, Ordering::Relaxed);
            page.word(offset + 4).store(start, Ordering::Relaxed);
        }
        let line = Rc::new(Line::default());
        let (store, driver) = connect(page, Rc::clone(&line));
        Self {
            page,
            store,
            server: RefCell::new(Server::new(page)),
            driver: RefCell::new(Some(driver)),
            driver_flag: Flag::new(),
            line,
            end: Cell::new(None),
            polls: Cell::new(0),
        }
    }

    /// The guest is in another domain, whose store is the same, with another connection.
    pub(crate) fn resume(&self) {
        self.server.borrow_mut().restart(self.page);
        self.store.resume_requests();
    }

    /// Has the connection end, because the server breaks the protocol.
    pub(crate) fn break_down(&self) {
        self.page.word(0x80c).store(u32::MAX, Ordering::Relaxed);
        self.notify_guest();
    }

    /// Has the server offer these features (`server_features`), and tell of an error.
    pub(super) fn offer(&self, features: u32, error: u32) {
        self.page.word(0x810).store(features, Ordering::Relaxed);
        self.page.word(0x818).store(error, Ordering::Relaxed);
    }

    /// Sends the guest an event.
    pub(super) fn notify_guest(&self) {
        if let Some(waker) = self.line.to_guest.take() {
            waker.wake();
        }
    }

    /// Sets a node, as dom0 does, which then has this owner.
    pub(crate) fn put(&self, path: &str, value: impl AsRef<[u8]>, owner: u16) {
        let mut server = self.server.borrow_mut();
        server.tree.put(path, value.as_ref(), owner);
        server.announce(&[(path.to_string(), false)]);
    }

    /// Removes a node and all below it, as dom0 does.
    pub(crate) fn take_away(&self, path: &str) {
        let mut server = self.server.borrow_mut();
        server.tree.take_away(path);
        server.announce(&[(path.to_string(), true)]);
    }

    /// Whether the guest may read a node and those below it; it may at first.
    pub(crate) fn permit(&self, path: &str, may_read: bool) {
        let mut server = self.server.borrow_mut();
        // Permissions are those of each node.
        let changed = server.tree.permit(path, may_read);
        server.announce(&changed);
    }

    /// The value of a node.
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        let value = self.server.borrow().tree.get(path).ok()?.value.clone();
        String::from_utf8(value).ok()
    }

    /// How often the guest's driver of the store had something to do.
    pub(crate) fn steps(&self) -> usize {
        self.polls.get()
    }

    /// How many requests the guest has made.
    pub(crate) fn requests(&self) -> usize {
        self.server.borrow().served
    }

    /// How many watches and transactions there are.
    pub(crate) fn in_use(&self) -> (usize, usize) {
        let server = self.server.borrow();
        (server.watches(), server.transactions())
    }

    /// Has the task of the driver go away.
    pub(super) fn stop_driver(&self) {
        self.driver.take();
    }

    /// Runs `main`, the driver and the server.
    ///
    /// # Panics
    /// When everybody waits.
    pub(super) fn run<T>(&self, main: impl Future<Output = T>) -> T {
        let (flag, waker) = Flag::new();
        let mut main = pin!(main);
        loop {
            let is_woken = flag.take();
            if is_woken
                && let Poll::Ready(result) = main.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return result;
            }
            assert!(self.step() || is_woken || flag.0.load(Ordering::Relaxed), "everybody waits");
        }
    }

    /// Runs driver and server until both wait.
    pub(super) fn settle(&self) {
        while self.step() {}
    }

    /// Runs driver and server once, if they have reason to. Returns whether one had.
    pub(crate) fn step(&self) -> bool {
        let (flag, waker) = &self.driver_flag;
        let is_woken = flag.take();
        let mut driver = self.driver.borrow_mut();
        if is_woken && let Some(running) = &mut *driver {
            self.polls.set(self.polls.get() + 1);
            let polled = Pin::new(running).poll(&mut Context::from_waker(waker));
            if let Poll::Ready(error) = polled {
                self.end.set(Some(error));
                *driver = None;
            }
        }
        let is_notified = self.line.to_server.take();
        let mut server = self.server.borrow_mut();
        let begins = is_notified && server.begins_anew(self.page);
        let has_served = begins || (is_notified || server.is_busy()) && server.serve();
        if has_served {
            self.notify_guest();
        }
        is_woken || is_notified || has_served
    }
}

/// Waits for all of them, which run at the same time.
pub(super) async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| Some(Box::pin(future))).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if let Some(running) = future
                && let Poll::Ready(value) = running.as_mut().poll(cx)
            {
                (*result, *future) = (Some(value), None);
            }
        }
        if futures.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

/// A future on the heap.
pub(super) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Polls a future once, without anybody to wake.
pub(super) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future once and drops it, which must not be ready.
pub(super) async fn give_up<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}
