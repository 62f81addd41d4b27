//! Watches: what tells that a node, or one below it, has changed.

use alloc::{
    collections::VecDeque,
    rc::Rc,
    string::{String, ToString},
};
use core::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use super::{
    Reply, StoreError, connection::Connection, request::Request, transaction::Within, wire,
    wire::Kind,
};

/// Different paths that are kept while nobody asks for them.
const KEPT: usize = 32;

/// What has changed and was not told yet.
pub(super) struct Changes {
    /// The path that is watched.
    path: String,
    changed: VecDeque<String>,
    /// There were too many: what is kept stands for all of them.
    is_all: bool,
    waker: Option<Waker>,
    end: Option<StoreError>,
}

impl Changes {
    pub(super) fn add(changes: &RefCell<Self>, path: &str) {
        let waker = {
            let changes = &mut *changes.borrow_mut();
            if changes.is_all || changes.changed.iter().any(|other| other == path) {
                return;
            }
            if changes.changed.len() < KEPT {
                changes.changed.push_back(path.to_string());
            } else {
                changes.changed.clear();
                changes.changed.push_back(changes.path.clone());
                changes.is_all = true;
            }
            changes.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn end(changes: &RefCell<Self>, error: StoreError) {
        let waker = {
            let mut changes = changes.borrow_mut();
            changes.end = Some(error);
            changes.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The path that is watched.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn take(&mut self) -> Option<String> {
        let path = self.changed.pop_front();
        self.is_all &= path.is_none();
        path
    }
}

/// A watch on a node and all below it. Dropped, it ends.
pub struct Watch {
    connection: Connection,
    number: u32,
    changes: Rc<RefCell<Changes>>,
}

/// A watch that is registered, as soon as XenStore has answered. Dropped before, it ends.
#[must_use = "the watch ends when this is dropped: await it"]
pub struct Registration {
    watch: Option<Watch>,
    reply: Reply<()>,
}

impl Registration {
    pub(super) fn new(connection: &Connection, path: &str) -> Self {
        match Watch::register(connection, path) {
            Ok((watch, request)) => {
                Self { watch: Some(watch), reply: Reply::new(request, |_| Ok(())) }
            }
            Err(error) => Self { watch: None, reply: Reply::new(Err(error), |_| Ok(())) },
        }
    }
}

impl Future for Registration {
    type Output = Result<Watch, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(Pin::new(&mut self.reply).poll(cx))?;
        self.watch.take().map_or(Poll::Pending, |watch| Poll::Ready(Ok(watch)))
    }
}

impl Watch {
    /// A watch, and the request that registers it.
    fn register(
        connection: &Connection,
        path: &str,
    ) -> Result<(Self, Result<Request, StoreError>), StoreError> {
        wire::path(path)?;
        let changes = Rc::new(RefCell::new(Changes {
            path: path.to_string(),
            changed: VecDeque::new(),
            is_all: false,
            waker: None,
            end: None,
        }));
        let number = connection.add_watch(Rc::clone(&changes));
        let watch = Self { connection: connection.clone(), number, changes };
        // If it fails, or is given up, it ends with the watch's drop.
        let parts = wire::watch(path, number);
        Ok((watch, connection.request(Kind::Watch, Within::NONE, &[&parts])))
    }

    /// The path that has changed, as soon as one has, which is relative if the one that is watched
    /// is. The first comes at once: whatever is done for a change is to be done for how things are
    /// now, too.
    ///
    /// A path that changes several times before it is asked for comes once. When more than 32 have
    /// changed, the watched path comes instead of them all: anything below it may be different. It
    /// comes, too, when a node above it is removed. Nothing is lost if this is called late, or its
    /// future dropped; but a path may come that has not changed.
    ///
    /// # Errors
    /// [`StoreError::Disconnected`] or [`StoreError::Protocol`] when the connection is at its end.
    pub async fn next(&mut self) -> Result<String, StoreError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for who waits for several things.
    ///
    /// # Errors
    /// As of [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, StoreError>> {
        let mut changes = self.changes.borrow_mut();
        if let Some(path) = changes.take() {
            return Poll::Ready(Ok(path));
        }
        if let Some(error) = changes.end {
            return Poll::Ready(Err(error));
        }
        if !changes.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            changes.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Whether any of several watches has something to tell, for who looks at everything then: all that
/// they have is taken.
///
/// # Errors
/// As of [`Watch::next`].
pub(crate) fn poll_any(
    watches: &mut [Watch],
    cx: &mut Context<'_>,
) -> Poll<Result<(), StoreError>> {
    let mut has_changed = false;
    for watch in watches {
        while let Poll::Ready(path) = watch.poll_next(cx) {
            path?;
            has_changed = true;
        }
    }
    if has_changed { Poll::Ready(Ok(())) } else { Poll::Pending }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.connection.remove_watch(self.number);
        let payload = wire::watch(&self.changes.borrow().path, self.number);
        self.connection.post(Kind::Unwatch, Within::NONE, &[&payload]);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("path", &self.changes.borrow().path).finish_non_exhaustive()
    }
}
