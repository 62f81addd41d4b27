//! Mutual exclusion that lasts across `await`.

use core::{
    cell::{Cell, RefCell, RefMut},
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll},
};

use super::wait_queue::{Ticket, Turn, WaitQueue};
use crate::executor::{self, Awaiting};

/// Gives one task at a time access to a value, also while that task waits for something. For
/// access that does not wait, a `RefCell` is enough.
pub struct Mutex<T: ?Sized> {
    waiting: RefCell<WaitQueue>,
    is_locked: Cell<bool>,
    value: RefCell<T>,
}

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self {
            waiting: RefCell::new(WaitQueue::new()),
            is_locked: Cell::new(false),
            value: RefCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the value, in the order of the calls' first polls.
    pub fn lock(&self) -> Lock<'_, T> {
        Lock { mutex: self, ticket: None }
    }

    /// The value, if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        (!self.is_locked.replace(true)).then(|| self.guard())
    }

    /// The value; nobody can have it, since nobody else refers to the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The guard for whoever has the lock.
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { value: self.value.borrow_mut(), _unlock: Unlock(self.state()) }
    }

    fn state(&self) -> State<'_> {
        State { waiting: &self.waiting, is_locked: &self.is_locked }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("value", &&self.value).finish()
    }
}

/// The part of a mutex that does not depend on the value.
#[derive(Clone, Copy)]
struct State<'a> {
    waiting: &'a RefCell<WaitQueue>,
    is_locked: &'a Cell<bool>,
}

impl State<'_> {
    /// Hands the lock to the next task in line, so that no other can come before it.
    fn unlock(self) {
        let waker = self.waiting.borrow_mut().call(Turn::One);
        match waker {
            Some(waker) => waker.wake(),
            None => self.is_locked.set(false),
        }
    }
}

/// The future that [`Mutex::lock`] returns.
#[must_use = "futures do nothing unless awaited"]
pub struct Lock<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    ticket: Option<Ticket>,
}

impl<'a, T: ?Sized> Future for Lock<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mutex = self.mutex;
        if self.ticket.is_none()
            && let Some(guard) = mutex.try_lock()
        {
            return Poll::Ready(guard);
        }
        let poll = mutex.waiting.borrow_mut().poll(&mut self.ticket, cx.waker());
        if poll.is_pending() {
            executor::describe(Awaiting::new("a mutex", 0));
        }
        poll.map(|()| mutex.guard())
    }
}

impl<T: ?Sized> Drop for Lock<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && self.mutex.waiting.borrow_mut().leave(ticket)
        {
            self.mutex.state().unlock();
        }
    }
}

/// Access to the value of a [`Mutex`], until it is dropped.
pub struct MutexGuard<'a, T: ?Sized> {
    // Dropped first, so that the value is free when the next task gets the lock.
    value: RefMut<'a, T>,
    _unlock: Unlock<'a>,
}

struct Unlock<'a>(State<'a>);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
