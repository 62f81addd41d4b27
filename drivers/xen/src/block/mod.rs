//! blkfront: a disk whose other end, blkback, is in another domain (xen/include/public/io/blkif.h).
//!
//! One ring and one event channel. The data of a request is on pages of their own, which the back
//! end is granted as long as it has the request, so that nothing is copied. It answers in any order.

mod connect;
mod pending;
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
    pending::{Asked, Pending},
    requests::Requests,
    wire::{Operation, UNIT, WORDS},
};
use crate::{
    bus::{GrantedRing, Session},
    event_channel::EventChannel,
    grants::{DomainId, Reservation},
};

/// Most pages of data in a request (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
const MAX_PAGES: usize = 11;
/// Requests that may be under way: as many as the ring has entries.
const SLOTS: usize = GrantedRing::<WORDS>::SIZE;

/// A disk.
struct BlkFront {
    info: BlockInfo,
    session: Session<Connection>,
    requests: Requests,
    /// Answers that the back end has no part in any more.
    answered: VecDeque<Completion>,
}

/// What it uses while its back end is there.
struct Connection {
    ring: GrantedRing<WORDS>,
    domain: DomainId,
    entries: Reservation,
    channel: EventChannel,
}

impl Connection {
    /// Tells the back end of what was queued, if it wants to know.
    fn tell(&mut self) {
        if self.ring.publish() {
            self.channel.notify();
        }
    }
}

impl BlkFront {
    fn new(info: BlockInfo, session: Session<Connection>) -> Self {
        Self { info, session, requests: Requests::new(), answered: VecDeque::new() }
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
        if let Some(connection) = self.session.connection() {
            while let Ok(Some(completion)) = self.requests.take_answer(&mut connection.ring) {
                self.answered.push_back(completion);
            }
        }
        if self.session.accept()
            && let Some(connection) = self.session.connection()
        {
            self.requests.renew(connection, |completion| self.answered.push_back(completion));
            connection.tell();
        } else if !self.session.is_held() {
            self.requests.release();
        }
    }

    /// The first sector of a request, as the protocol counts them.
    fn first(&self, sector: u64) -> u64 {
        sector.saturating_mul((self.info.sector_size / UNIT) as u64)
    }

    /// Queues a request with data. Gives it back if there is no room.
    fn transfer(
        &mut self,
        (id, sector): (u64, u64),
        operation: Operation,
        buffer: BlockBuffer,
    ) -> Result<(), BlockRequest> {
        let asked = Asked { operation, first: self.first(sector), count: 0 };
        let pending = match self.session.connection() {
            Some(connection) => Pending::new(id, asked, buffer, connection),
            None => Err(Some(buffer)),
        };
        match pending {
            Ok(pending) => self.push(pending),
            Err(Some(buffer)) => {
                let operation = match operation {
                    Operation::Write => BlockOperation::Write(buffer),
                    _ => BlockOperation::Read(buffer),
                };
                return Err(BlockRequest { id, sector, operation });
            }
            Err(None) => self.answer(id, None, DeviceError::Protocol),
        }
        Ok(())
    }

    fn push(&mut self, pending: Pending) {
        if let Some(connection) = self.session.connection() {
            self.requests.push(pending, &mut connection.ring);
        }
    }

    fn answer(&mut self, id: u64, buffer: Option<BlockBuffer>, error: DeviceError) {
        self.answered.push_back(Completion { id, buffer, result: Err(error) });
    }
}

impl BlockDevice for BlkFront {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest> {
        self.hear();
        if self.session.connection().is_none() || !self.requests.has_room() {
            return Err(request);
        }
        let BlockRequest { id, sector, operation } = request;
        match operation {
            BlockOperation::Read(buffer) => self.transfer((id, sector), Operation::Read, buffer)?,
            BlockOperation::Write(buffer) => {
                self.transfer((id, sector), Operation::Write, buffer)?;
            }
            BlockOperation::Flush => {
                let asked = Asked { operation: Operation::Flush, first: 0, count: 0 };
                self.push(Pending::without_data(id, asked));
            }
            BlockOperation::Discard(count) => {
                let (first, count) = (self.first(sector), self.first(count.into()));
                let asked = Asked { operation: Operation::Discard, first, count };
                self.push(Pending::without_data(id, asked));
            }
            // A disk of Xen has no serial number.
            BlockOperation::Identify(buffer) => {
                self.answer(id, Some(buffer), DeviceError::Unsupported);
            }
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
        let ring = &mut self.session.connection()?.ring;
        self.requests.take_answer(ring).unwrap_or_else(|_| {
            self.fail();
            None
        })
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
        if connection.ring.wants_event_after(1) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
