//! A channel for one value.

use alloc::rc::Rc;
use core::{
    cell::RefCell,
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::executor::{self, Awaiting};

/// Makes a channel that carries one value, from one task to another.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(RefCell::new(Shared { value: None, receiver: None }));
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    value: Option<T>,
    receiver: Option<Waker>,
}

/// Sends the value.
pub struct Sender<T>(Rc<RefCell<Shared<T>>>);

impl<T> Sender<T> {
    /// Sends the value.
    ///
    /// # Errors
    /// When the receiver is gone; the error is the value.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        // Dropping `self` wakes the receiver.
        self.0.borrow_mut().value = Some(value);
        Ok(())
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let receiver = self.0.borrow_mut().receiver.take();
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

/// A future for the value.
pub struct Receiver<T>(Rc<RefCell<Shared<T>>>);

impl<T> Future for Receiver<T> {
    type Output = Result<T, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = self.0.borrow_mut();
        if let Some(value) = shared.value.take() {
            return Poll::Ready(Ok(value));
        }
        if Rc::strong_count(&self.0) == 1 {
            return Poll::Ready(Err(Cancelled));
        }
        shared.receiver = Some(cx.waker().clone());
        drop(shared);
        executor::describe(Awaiting::new("a value from a oneshot channel", 0));
        Poll::Pending
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

/// The sender was dropped without sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender went away without sending a value")
    }
}

impl core::error::Error for Cancelled {}
