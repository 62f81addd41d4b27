//! How transactions take turns.

use alloc::vec::Vec;
use core::{
    future::poll_fn,
    mem,
    task::{Context, Poll, Waker},
};

use super::connection::Connection;

/// Most transactions that are open at a time. Servers allow ten; some may be about to end that nobody
/// waits for any more.
const MAX_TRANSACTIONS: usize = 8;

/// The transactions of a connection.
pub(super) struct Turns {
    open: usize,
    /// Tasks that wait until there are fewer.
    queue: Vec<Waker>,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self { open: 0, queue: Vec::new() }
    }

    /// Counts one more transaction as open, unless there are too many: then the task is woken when
    /// there are fewer.
    fn poll_take(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.open < MAX_TRANSACTIONS {
            self.open += 1;
            return Poll::Ready(());
        }
        // Who is polled for another reason is there already.
        if !self.queue.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.queue.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// The right to have a transaction open.
pub(super) struct Turn(Connection);

impl Turn {
    /// Waits until one more transaction may be opened: a guest with many devices connects them all at
    /// the same time.
    pub(super) async fn take(connection: &Connection) -> Self {
        poll_fn(|cx| connection.turns().poll_take(cx)).await;
        Self(connection.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let queue = {
            let mut turns = self.0.turns();
            turns.open -= 1;
            mem::take(&mut turns.queue)
        };
        queue.into_iter().for_each(Waker::wake);
    }
}
