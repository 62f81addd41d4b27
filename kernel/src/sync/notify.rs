//! Telling tasks that something happened.

use core::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use super::wait_queue::{Ticket, Turn, WaitQueue};
use crate::executor::{self, Awaiting};

/// Wakes tasks that wait for something to happen, without saying what.
pub struct Notify {
    waiting: RefCell<WaitQueue>,
    /// Somebody was notified when nobody waited.
    is_stored: Cell<bool>,
}

impl Notify {
    /// Nobody waits and nothing has happened.
    pub const fn new() -> Self {
        Self { waiting: RefCell::new(WaitQueue::new()), is_stored: Cell::new(false) }
    }

    /// Wakes the task that has waited longest. If none waits, the next one that does goes on at
    /// once; several calls in a row are one then.
    pub fn notify_one(&self) {
        let waker = self.waiting.borrow_mut().call(Turn::One);
        match waker {
            Some(waker) => waker.wake(),
            None => self.is_stored.set(true),
        }
    }

    /// Wakes all tasks that wait at this moment.
    pub fn notify_all(&self) {
        let waiting = self.waiting.borrow().len();
        for _ in 0..waiting {
            let Some(waker) = self.waiting.borrow_mut().call(Turn::All) else { break };
            waker.wake();
        }
    }

    /// Waits for a notification. The wait begins when the future is first polled. Dropping the
    /// future passes the notification of [`notify_one`](Self::notify_one) on to the next task.
    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, ticket: None }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").finish_non_exhaustive()
    }
}

/// The future that [`Notify::notified`] returns.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    ticket: Option<Ticket>,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.ticket.is_none() && self.notify.is_stored.take() {
            return Poll::Ready(());
        }
        let notify = self.notify;
        let poll = notify.waiting.borrow_mut().poll(&mut self.ticket, cx.waker());
        if poll.is_pending() {
            executor::describe(Awaiting::new("a notification", 0));
        }
        poll
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && self.notify.waiting.borrow_mut().leave(ticket)
        {
            self.notify.notify_one();
        }
    }
}
