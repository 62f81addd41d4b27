//! What a device has of its back end at the moment.

use alloc::{rc::Rc, sync::Arc};
use core::{
    cell::{Cell, RefCell},
    mem,
    task::{Context, Waker},
};

use mayfly_device::{DeviceError, InterruptHandler, Signal};

use super::{BusError, ConnectError};
use crate::{
    event_channel::EventChannel,
    incarnation::{Follower, Incarnation},
};

/// What the device is told of its back end.
pub(crate) enum News<C> {
    /// It went away; it may come back. What it was granted must stay as it is: a back end that was
    /// bound anew may work through the old rings until it hears that they are not used.
    Lost,
    /// It has heard, or is not there for this guest any more, which is in another domain.
    Heard,
    /// It came back.
    Connected(C),
    /// It will not come back.
    Gone,
}

/// Where a device hears of events and news. `C` is what it uses while it is connected.
pub(crate) struct Line<C>(Rc<Shared<C>>);

struct Shared<C> {
    signal: Arc<Raise>,
    has_news: Cell<bool>,
    /// The last, which makes those before it void.
    news: RefCell<Option<News<C>>>,
    /// The device was given up.
    is_broken: Cell<bool>,
    /// Who wants to know of that, and of the end of the session.
    minder: RefCell<Option<Waker>>,
    /// A connection that the device has never taken, or has left behind at its end, and that the back
    /// end may still use.
    kept: RefCell<Option<C>>,
    /// The guest is in another domain. What the back end has written to the rings is void: they were
    /// copied while it did.
    is_void: Cell<bool>,
}

impl<C> Shared<C> {
    fn post(&self, news: News<C>) {
        let is_heard = matches!(news, News::Heard | News::Connected(_));
        let old = self.news.replace(Some(news));
        self.has_news.set(true);
        match old {
            _ if is_heard => drop(self.kept.take()),
            Some(News::Connected(connection)) => self.keep(connection),
            _ => {}
        }
        self.signal.0.raise();
    }

    /// Keeps a connection until the back end has heard.
    fn keep(&self, connection: C) {
        drop(self.kept.replace(Some(connection)));
    }

    fn wake_minder(&self) {
        // It may be waiting for something else than XenStore.
        if let Some(minder) = &*self.minder.borrow() {
            minder.wake_by_ref();
        }
    }
}

impl<C> Follower for Shared<C> {
    fn resumed(&self) {
        self.is_void.set(true);
        self.post(News::Heard);
        self.wake_minder();
    }
}

struct Raise(Signal);

impl InterruptHandler for Raise {
    fn interrupt(&self) {
        self.0.raise();
    }
}

impl<C> Clone for Line<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<C: 'static> Line<C> {
    /// Hears when the guest is in another domain, too.
    pub(super) fn follow(&self) {
        Incarnation::follow(&self.0);
    }
}

impl<C> Line<C> {
    /// A line on which nothing is heard yet.
    pub(super) fn new() -> Self {
        let signal = Arc::new(Raise(Signal::new()));
        Self(Rc::new(Shared {
            signal,
            has_news: Cell::new(false),
            news: RefCell::new(None),
            is_broken: Cell::new(false),
            minder: RefCell::new(None),
            kept: RefCell::new(None),
            is_void: Cell::new(false),
        }))
    }

    /// Listens to a channel.
    ///
    /// # Errors
    /// If there is no memory for that.
    pub(crate) fn listen(&self, channel: &EventChannel) -> Result<(), ConnectError> {
        let is_heard = channel.listen(Arc::clone(&self.0.signal) as _);
        if is_heard { Ok(()) } else { Err(ConnectError::OutOfMemory) }
    }

    /// Has the device look at what it goes by.
    pub(super) fn wake(&self) {
        self.0.signal.0.raise();
    }

    /// Tells the device.
    pub(super) fn post(&self, news: News<C>) {
        self.0.post(news);
    }

    /// Whether the device was given up, and why. Wakes the task of `cx` when it is.
    pub(super) fn given_up(&self, cx: &mut Context<'_>) -> Option<BusError> {
        let mut minder = self.0.minder.borrow_mut();
        if !minder.as_ref().is_some_and(|minder| minder.will_wake(cx.waker())) {
            *minder = Some(cx.waker().clone());
        }
        if self.0.is_broken.get() {
            return Some(BusError::Broken);
        }
        self.is_unheard().then_some(BusError::Unused)
    }

    /// Whether the device is there no more.
    pub(super) fn is_unheard(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

enum State<C> {
    Connected(C),
    /// With what the back end may still use.
    Away(Option<C>),
    /// As well.
    Ended(DeviceError, Option<C>),
}

impl<C> State<C> {
    /// What the back end may use.
    fn into_connection(self) -> Option<C> {
        match self {
            Self::Connected(connection) => Some(connection),
            Self::Away(kept) | Self::Ended(_, kept) => kept,
        }
    }
}

/// A device's end of the line, and its connection while there is one.
pub(crate) struct Session<C> {
    line: Line<C>,
    state: State<C>,
    /// It has a connection that nobody was told of.
    is_new: bool,
}

impl<C> Session<C> {
    /// A device that hears what is posted to `line`, and goes by what was.
    pub(super) fn new(line: &Line<C>) -> Self {
        let mut session = Self { line: line.clone(), state: State::Away(None), is_new: false };
        session.accept();
        session.is_new = false;
        session
    }

    /// Whether there is something to [`accept`](Self::accept).
    pub(crate) fn has_news(&self) -> bool {
        self.line.0.has_news.get()
    }

    /// Whether what the back end has written is not to be looked at, from when there is news of that
    /// until they are accepted.
    pub(crate) fn is_void(&self) -> bool {
        self.line.0.is_void.get()
    }

    /// Goes by the news. Returns whether there is a new connection, instead of the one before.
    pub(crate) fn accept(&mut self) -> bool {
        self.line.0.has_news.set(false);
        self.line.0.is_void.set(false);
        let news = self.line.0.news.take();
        let Some(news) = news.filter(|_| self.error().is_none()) else { return false };
        let before = mem::replace(&mut self.state, State::Away(None)).into_connection();
        self.state = match news {
            News::Lost => State::Away(before),
            News::Heard => State::Away(None),
            News::Connected(connection) => State::Connected(connection),
            News::Gone => State::Ended(DeviceError::Gone, before),
        };
        self.is_new = self.connection().is_some();
        self.is_new
    }

    /// The connection, if there is one.
    pub(crate) fn connection(&mut self) -> Option<&mut C> {
        match &mut self.state {
            State::Connected(connection) => Some(connection),
            State::Away(_) | State::Ended(..) => None,
        }
    }

    /// Whether the back end may still use what it was granted.
    pub(crate) fn is_held(&self) -> bool {
        !matches!(self.state, State::Away(None) | State::Ended(_, None))
    }

    /// Ends it for good, because the back end broke the protocol.
    pub(crate) fn fail(&mut self, device: &str) {
        if self.error().is_none() {
            let before = mem::replace(&mut self.state, State::Away(None)).into_connection();
            self.state = State::Ended(DeviceError::Protocol, before);
            log::error!("{device}: {}", DeviceError::Protocol);
            let shared = &self.line.0;
            shared.is_broken.set(true);
            shared.wake_minder();
        }
    }

    /// Why there will be no connection any more.
    pub(crate) fn error(&self) -> Option<DeviceError> {
        match self.state {
            State::Ended(error, _) => Some(error),
            State::Connected(_) | State::Away(_) => None,
        }
    }

    /// Whether there is a connection that this was not asked about.
    pub(crate) fn take_new(&mut self) -> bool {
        mem::take(&mut self.is_new)
    }

    /// Wakes the task of `cx` when there is something to hear from now on.
    pub(crate) fn watch(&self, cx: &mut Context<'_>) {
        self.line.0.signal.0.watch(cx);
    }
}

/// The back end does not know yet that nobody is there any more.
impl<C> Drop for Session<C> {
    fn drop(&mut self) {
        let shared = &self.line.0;
        if let Some(connection) = mem::replace(&mut self.state, State::Away(None)).into_connection()
        {
            shared.keep(connection);
        }
        shared.wake_minder();
    }
}
