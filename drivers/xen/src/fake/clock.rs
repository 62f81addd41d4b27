//! Time that passes when a test says so.

extern crate std;

use std::{
    boxed::Box,
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
    vec::Vec,
};

use crate::bus::Sleep;

/// A clock, and who waits for it.
#[derive(Default)]
pub(crate) struct Clock {
    now: Cell<Duration>,
    waiting: RefCell<Vec<Waker>>,
}

impl Clock {
    /// Waits for so long.
    pub(crate) async fn sleep(&self, time: Duration) {
        let end = self.now.get() + time;
        poll_fn(|cx| {
            if self.now.get() >= end {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|other| other.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// What waits as [`sleep`](Self::sleep) does.
    pub(crate) fn sleeper(self: Rc<Self>) -> Box<Sleep> {
        Box::new(move |time| {
            let clock = Rc::clone(&self);
            Box::pin(async move { clock.sleep(time).await })
        })
    }

    /// Lets so much time pass.
    pub(super) fn elapse(&self, time: Duration) {
        self.now.set(self.now.get() + time);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}
