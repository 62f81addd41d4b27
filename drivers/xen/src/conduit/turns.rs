//! Who asks a server, one at a time. The node by which a client asks has the client's name, so that
//! of two that are there at once a server may take one for both.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{cell::RefCell, future::poll_fn, task::Poll, task::Waker};

/// The servers that are being asked.
#[derive(Default)]
pub(super) struct Turns {
    asked: RefCell<Vec<String>>,
    waiting: RefCell<Vec<Waker>>,
}

/// The turn to ask a server, until this is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    server: String,
}

impl Turns {
    /// Waits until nobody else asks `server`.
    pub(super) async fn take(&self, server: &str) -> Turn<'_> {
        poll_fn(|cx| {
            let mut asked = self.asked.borrow_mut();
            if asked.iter().any(|other| other == server) {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                return Poll::Pending;
            }
            asked.push(server.to_string());
            Poll::Ready(())
        })
        .await;
        Turn { turns: self, server: server.to_string() }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.asked.borrow_mut().retain(|other| *other != self.server);
        // Those who wait for another server wait again.
        let waiting = self.turns.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}
