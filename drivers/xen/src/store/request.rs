//! A request on its way: the future of its reply.

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use super::{
    StoreError,
    connection::{Connection, Epoch, RequestError},
    wire::Kind,
};

/// The payload of a reply, or the error that the reply has.
type Payload = Result<Vec<u8>, RequestError>;

/// Where the reply arrives.
#[derive(Default)]
pub(super) enum Answer {
    #[default]
    None,
    Awaited(Waker),
    Given(Payload),
    Taken,
}

impl Answer {
    pub(super) fn give(answer: &RefCell<Self>, reply: Payload) {
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
    epoch: Epoch,
}

impl Request {
    pub(super) fn new(
        connection: Connection,
        kind: Kind,
        number: u32,
        answer: Rc<RefCell<Answer>>,
        epoch: Epoch,
    ) -> Self {
        Self { connection, kind, number, answer, epoch }
    }
}

impl Future for Request {
    type Output = Payload;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Payload> {
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
                self.connection.roll_back(&reply, self.epoch);
            }
            Answer::Given(_) | Answer::Taken => {}
        }
    }
}

/// What XenStore answers, some time later. The request is on its way as soon as there is this;
/// dropped, it is given up, but may have been done all the same.
#[must_use = "the request is given up when this is dropped: await it"]
pub struct Reply<T> {
    request: Result<Request, StoreError>,
    /// Reads the payload.
    read: fn(Vec<u8>) -> Result<T, StoreError>,
}

impl<T> Reply<T> {
    pub(super) fn new(
        request: Result<Request, StoreError>,
        read: fn(Vec<u8>) -> Result<T, StoreError>,
    ) -> Self {
        Self { request, read }
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let payload = match &mut self.request {
            Ok(request) => ready!(Pin::new(request).poll(cx)).map_err(StoreError::from),
            Err(error) => Err(*error),
        };
        Poll::Ready(payload.and_then(self.read))
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
