//! blkfront: a disk whose other end, blkback, is in another domain (xen/include/public/io/blkif.h).
//!
//! A ring and an event channel are a queue; a disk has one, or several. The data of a request is on
//! pages of their own, which the back end is granted as long as it has the request, so that nothing
//! is copied; or it is copied to pages that stay granted, if the back end keeps those mapped. It
//! answers in any order.
//!
//! - `connect`: the nodes that both sides write;
//! - `queue`: a ring, and the parts of requests that the back end has through it;
//! - `connection`: all queues, and memory for what goes through them;
//! - `requests`: the requests of the kernel, in as many parts as the back end needs;
//! - `pending`: one of them, and its data;
//! - `pool`: pages for data that stay granted, where the back end wants that;
//! - `wire`: the words of requests and answers.

mod connect;
mod connection;
mod pending;
mod pool;
mod queue;
mod requests;
mod wire;

#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use core::task::{Context, Poll};

use mayfly_device::{
    BlockBuffer, BlockDevice, BlockInfo, BlockOperation, BlockRequest, Completion, DeviceError,
};

pub use self::connect::start;
use self::{
    connection::Connection,
    pending::{Asked, Pending},
    requests::Requests,
    wire::{Operation, UNIT},
};
use crate::bus::Session;

/// Most pages of data in a request of the kernel: 1 MiB, which Linux takes in one part.
const MAX_PAGES: usize = 256;
/// Answers that there is always room for.
const FEW_ANSWERS: usize = 4;

/// A disk.
struct BlkFront {
    info: BlockInfo,
    session: Session<Connection>,
    requests: Requests,
    /// Answers that the back end has no part in any more.
    answered: VecDeque<Completion>,
}

impl BlkFront {
    fn new(info: BlockInfo, session: Session<Connection>) -> Self {
        let answered = VecDeque::with_capacity(FEW_ANSWERS);
        Self { info, session, requests: Requests::default(), answered }
    }

    fn fail(&mut self) {
        self.session.fail("blkfront");
    }

    /// Goes by the news of the back end.
    fn hear(&mut self) {
        if !self.session.has_news() {
            return;
        }
        // What it has answered before it went is not asked again.
        if !self.session.is_void()
            && let Some(connection) = self.session.connection()
        {
            while let Ok(Some(completion)) = self.requests.take_answer(connection) {
                self.answered.push_back(completion);
            }
        }
        if self.session.accept() {
            self.requests.renew();
            self.pump();
        } else if !self.session.is_held() {
            self.requests.release();
        }
    }

    /// Queues what waits for room.
    fn pump(&mut self) {
        if self.requests.is_waiting()
            && let Some(connection) = self.session.connection()
        {
            self.requests.pump(connection, |completion| self.answered.push_back(completion));
            connection.tell();
        }
    }

    /// How many sectors of the protocol one of the disk is.
    fn units(&self) -> u64 {
        (self.info.sector_size / UNIT) as u64
    }

    /// Queues a request. Gives it back if there is no room.
    fn push(&mut self, pending: Pending) -> Result<(), BlockRequest> {
        let pending = match self.session.connection() {
            Some(connection) => self.requests.submit(pending, connection),
            None => Err(pending),
        };
        let Err(pending) = pending else { return Ok(()) };
        if self.session.connection().is_some_and(|connection| connection.is_idle())
            && !self.requests.is_waiting()
        {
            // Nothing will make room.
            self.answered.push_back(pending.complete(Err(DeviceError::OutOfMemory)));
            return Ok(());
        }
        let refused = pending.into_request(self.units());
        refused.map_or_else(
            |answer| {
                self.answered.push_back(answer);
                Ok(())
            },
            Err,
        )
    }

    fn answer(&mut self, id: u64, buffer: Option<BlockBuffer>, result: Result<(), DeviceError>) {
        self.answered.push_back(Completion { id, buffer, result });
    }
}

impl BlockDevice for BlkFront {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest> {
        self.hear();
        // Whatever becomes of it and of all others, there is room for the answers.
        let has_room = self.answered.try_reserve(self.requests.places() + 1).is_ok();
        if !has_room && self.answered.len() == self.answered.capacity() {
            // When one of those is taken, it is the turn of this one.
            return Err(request);
        }
        let BlockRequest { id, sector, operation } = request;
        if !has_room {
            let buffer = match operation {
                BlockOperation::Read(buffer)
                | BlockOperation::Write(buffer)
                | BlockOperation::Identify(buffer) => Some(buffer),
                BlockOperation::Flush | BlockOperation::Discard(_) => None,
            };
            self.answer(id, buffer, Err(DeviceError::OutOfMemory));
            return Ok(());
        }
        let units = self.units();
        let first = sector.saturating_mul(units);
        let mut asked = Asked { operation: Operation::Read, first, count: 0 };
        let (operation, buffer) = match operation {
            BlockOperation::Read(buffer) => (Operation::Read, Some(buffer)),
            BlockOperation::Write(buffer) => (Operation::Write, Some(buffer)),
            BlockOperation::Flush => {
                asked.first = 0;
                (Operation::Flush, None)
            }
            BlockOperation::Discard(count) => {
                asked.count = u64::from(count).saturating_mul(units);
                (Operation::Discard, None)
            }
            // A disk of Xen has no serial number.
            BlockOperation::Identify(buffer) => {
                self.answer(id, Some(buffer), Err(DeviceError::Unsupported));
                return Ok(());
            }
        };
        asked.operation = operation;
        let offers = self.session.connection().map(|connection| connection.offers);
        match operation {
            Operation::Flush if offers.is_some_and(|offers| offers.flush().is_none()) => {
                self.answer(id, None, Ok(()));
            }
            Operation::Discard if offers.is_some_and(|offers| !offers.discard) => {
                self.answer(id, None, Err(DeviceError::Unsupported));
            }
            _ => match Pending::new(id, asked, buffer) {
                Ok(pending) => return self.push(pending),
                Err(buffer) => self.answer(id, buffer, Err(DeviceError::OutOfMemory)),
            },
        }
        Ok(())
    }

    fn flush_queue(&mut self) {
        self.hear();
        if let Some(connection) = self.session.connection() {
            connection.tell();
        }
    }

    fn complete(&mut self) -> Option<Completion> {
        self.hear();
        if let Some(answered) = self.answered.pop_front() {
            return Some(answered);
        }
        let completion = self.requests.take_answer(self.session.connection()?);
        let completion = completion.unwrap_or_else(|_| {
            self.fail();
            None
        });
        self.pump();
        completion.or_else(|| self.answered.pop_front())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.session.watch(cx);
        self.hear();
        if !self.answered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.session.error() {
            return Poll::Ready(Err(error));
        }
        if self.session.take_new() {
            return Poll::Ready(Ok(()));
        }
        // Away: the session wakes who waits when it is back.
        let Some(connection) = self.session.connection() else { return Poll::Pending };
        if connection.wants_event() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
