//! A request on its way: the future of its reply.

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{
    connection::{Connection, RequestError},
    wire::Kind,
};

/// The payload of a reply, or the error that the reply has.
type Reply = Result<Vec<u8>, RequestError>;

/// Where the reply arrives.
#[derive(Default)]
pub(super) enum Answer {
    #[default]
    None,
    Awaited(Waker),
    Given(Reply),
    Taken,
}

impl Answer {
    pub(super) fn give(answer: &RefCell<Self>, reply: Reply) {
        if let Self::Awaited(waker) = answer.replace(Self::Given(reply)) {
            waker.wake();
        }
    }
}

/// The reply to a request. Dropped before it is there, the reply is discarded when it comes.
pub(super) struct Request {
    connection: Connection,
    kind: Kind,
    number: u32,
    answer: Rc<RefCell<Answer>>,
}

impl Request {
    pub(super) fn new(
        connection: Connection,
        kind: Kind,
        number: u32,
        answer: Rc<RefCell<Answer>>,
    ) -> Self {
        Self { connection, kind, number, answer }
    }
}

impl Future for Request {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut answer = self.answer.borrow_mut();
        match mem::replace(&mut *answer, Answer::Taken) {
            Answer::Given(reply) => Poll::Ready(reply),
            Answer::None | Answer::Awaited(_) => {
                *answer = Answer::Awaited(cx.waker().clone());
                Poll::Pending
            }
            Answer::Taken => Poll::Pending,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        match self.answer.replace(Answer::Taken) {
            Answer::None | Answer::Awaited(_) => self.connection.abandon(self.number),
            Answer::Given(Ok(reply)) if self.kind == Kind::TransactionStart => {
                self.connection.roll_back(&reply);
            }
            Answer::Given(_) | Answer::Taken => {}
        }
    }
}
