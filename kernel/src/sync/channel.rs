//! A bounded queue from many senders to one receiver.

use alloc::{collections::VecDeque, rc::Rc};
use core::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::wait_queue::{Ticket, Turn, WaitQueue};
use crate::executor::{self, Awaiting};

/// An empty channel with room for more values than this gives its memory back.
const KEPT_ROOM: usize = 16;

/// A channel that holds up to `capacity` values; it takes memory for as many as it holds.
///
/// # Panics
/// When `capacity` is zero.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel needs room for at least one value");
    let shared = Rc::new(RefCell::new(Shared {
        values: VecDeque::new(),
        capacity,
        promised: 0,
        senders: 1,
        is_received: true,
        receiver: None,
        waiting: WaitQueue::new(),
    }));
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    values: VecDeque<T>,
    capacity: usize,
    /// Places that belong to senders which were called from `waiting` and have not come yet.
    promised: usize,
    senders: usize,
    /// Whether the receiver exists.
    is_received: bool,
    receiver: Option<Waker>,
    waiting: WaitQueue,
}

impl<T> Shared<T> {
    fn has_room(&self) -> bool {
        self.values.len() + self.promised < self.capacity
    }

    /// Takes a value in, and returns whom to wake.
    fn push(&mut self, value: T) -> Option<Waker> {
        self.values.push_back(value);
        self.receiver.take()
    }

    /// Promises a place that has become free to the next sender, and returns it to be woken.
    fn call_sender(&mut self) -> Option<Waker> {
        let waker = self.waiting.call(Turn::One)?;
        self.promised += 1;
        Some(waker)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Puts values into a channel. Clones send to the same receiver.
pub struct Sender<T>(Rc<RefCell<Shared<T>>>);

impl<T> Sender<T> {
    /// Sends a value, after waiting for a place for it. Senders get places in the order in which
    /// they began to wait.
    ///
    /// Dropping the future before it is ready drops the value.
    ///
    /// # Errors
    /// When the receiver is gone; the error holds the value.
    pub fn send(&self, value: T) -> Send<'_, T> {
        Send { sender: self, value: Some(value), ticket: None }
    }

    /// Sends a value if there is a place for it.
    ///
    /// # Errors
    /// When the channel is full or the receiver is gone; the error holds the value.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut shared = self.0.borrow_mut();
        if !shared.is_received {
            return Err(TrySendError::Closed(value));
        }
        if !shared.has_room() {
            return Err(TrySendError::Full(value));
        }
        let receiver = shared.push(value);
        drop(shared);
        wake(receiver);
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        !self.0.borrow().is_received
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.borrow_mut().senders += 1;
        Self(Rc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.senders -= 1;
        let receiver = if shared.senders == 0 { shared.receiver.take() } else { None };
        drop(shared);
        wake(receiver);
    }
}

/// The future that [`Sender::send`] returns.
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, T> {
    sender: &'a Sender<T>,
    value: Option<T>,
    ticket: Option<Ticket>,
}

// The value is moved out, never pinned.
impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = Result<(), Closed<T>>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut shared = this.sender.0.borrow_mut();
        let is_queued = this.ticket.is_some();
        if is_queued || (shared.is_received && !shared.has_room()) {
            if shared.waiting.poll(&mut this.ticket, cx.waker()).is_pending() {
                drop(shared);
                executor::describe(Awaiting::new("room in a channel", 0));
                return Poll::Pending;
            }
            shared.promised -= 1;
        }
        let value = this.value.take().expect("Send polled after it was ready");
        if !shared.is_received {
            return Poll::Ready(Err(Closed(value)));
        }
        let receiver = shared.push(value);
        drop(shared);
        wake(receiver);
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Send<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut shared = self.sender.0.borrow_mut();
        let was_promised = shared.waiting.leave(ticket);
        let next = if was_promised {
            shared.promised -= 1;
            shared.call_sender()
        } else {
            None
        };
        drop(shared);
        wake(next);
    }
}

/// Takes values out of a channel.
pub struct Receiver<T>(Rc<RefCell<Shared<T>>>);

impl<T> Receiver<T> {
    /// Waits for a value. `None` when there is none and all senders are gone. Dropping the future
    /// loses no value.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// As [`receive`](Self::receive), for futures written by hand.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.try_receive() {
            Ok(value) => return Poll::Ready(Some(value)),
            Err(TryReceiveError::Closed) => return Poll::Ready(None),
            Err(TryReceiveError::Empty) => {}
        }
        self.0.borrow_mut().receiver = Some(cx.waker().clone());
        executor::describe(Awaiting::new("a value from a channel", 0));
        Poll::Pending
    }

    /// Takes a value if there is one.
    ///
    /// # Errors
    /// When there is none; the error tells whether there can ever be one.
    pub fn try_receive(&mut self) -> Result<T, TryReceiveError> {
        let mut shared = self.0.borrow_mut();
        let Some(value) = shared.values.pop_front() else {
            let is_open = shared.senders > 0;
            return Err(if is_open { TryReceiveError::Empty } else { TryReceiveError::Closed });
        };
        if shared.values.is_empty() && shared.values.capacity() > KEPT_ROOM {
            shared.values = VecDeque::new();
        }
        let sender = shared.call_sender();
        drop(shared);
        wake(sender);
        Ok(value)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.is_received = false;
        let unread = mem::take(&mut shared.values);
        for _ in 0..shared.waiting.len() {
            let sender = shared.call_sender();
            drop(shared);
            wake(sender);
            shared = self.0.borrow_mut();
        }
        drop(shared);
        drop(unread);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The receiver is gone. Holds the value that was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> fmt::Display for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the receiver of the channel is gone")
    }
}

impl<T: fmt::Debug> core::error::Error for Closed<T> {}

/// Why a value was not sent. Holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no place for it now.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full; wait with send(), or drop the value",
            Self::Closed(_) => "the receiver of the channel is gone",
        })
    }
}

impl<T: fmt::Debug> core::error::Error for TrySendError<T> {}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryReceiveError {
    /// None was sent yet.
    Empty,
    /// All senders are gone.
    Closed,
}

impl fmt::Display for TryReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty; wait with receive()",
            Self::Closed => "the channel is empty and its senders are gone",
        })
    }
}

impl core::error::Error for TryReceiveError {}
