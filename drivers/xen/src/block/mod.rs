//! blkfront: a disk whose other end, blkback, is in another domain (xen/include/public/io/blkif.h).
//!
//! One ring and one event channel. The data of a request is on pages of their own, which the back
//! end is granted as long as it has the request, so that nothing is copied. It answers in any order.

mod connect;
mod pending;
mod wire;

#[cfg(test)]
mod tests;

use alloc::{rc::Rc, vec::Vec};
use core::task::{Context, Poll};

use mayfly_device::{
    BlockDevice, BlockInfo, BlockOperation, BlockRequest, Completion, DeviceError,
};

pub use self::connect::start;
use self::{
    pending::Pending,
    wire::{Operation, Response, UNIT, WORDS},
};
use crate::{
    bus::{GrantedRing, Line},
    byte_ring::BadIndex,
    event_channel::EventChannel,
    grants::{Access, DomainId, Reservation},
};

/// Most pages of data in a request (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
const MAX_PAGES: usize = 11;
/// Requests that may be under way: as many as the ring has entries.
const SLOTS: usize = GrantedRing::<WORDS>::SIZE;

/// A disk.
struct BlkFront {
    info: BlockInfo,
    ring: GrantedRing<WORDS>,
    domain: DomainId,
    entries: Rc<Reservation>,
    channel: EventChannel,
    line: Line,
    /// What the back end has, by the number that it knows.
    slots: Vec<Option<Pending>>,
    free: Vec<u16>,
    /// Answers that need no back end.
    answered: Vec<Completion>,
    /// The back end broke the protocol.
    is_broken: bool,
}

impl BlkFront {
    fn fail(&mut self) {
        if !self.is_broken {
            self.is_broken = true;
            log::error!("blkfront: {}", DeviceError::Protocol);
        }
    }

    fn is_usable(&self) -> bool {
        !self.is_broken && self.line.is_connected()
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
        buffer: mayfly_device::BlockBuffer,
    ) -> Result<(), BlockRequest> {
        let access =
            if operation == Operation::Write { Access::ReadOnly } else { Access::ReadWrite };
        match Pending::new(id, buffer, access, self.domain, &self.entries) {
            Ok(pending) => {
                let (segments, first) = (pending.segments(), self.first(sector));
                self.push(pending, |slot| wire::transfer(operation, slot, first, &segments));
            }
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

    /// Queues a request. There is a free slot.
    fn push(&mut self, pending: Pending, request: impl FnOnce(u16) -> [u32; WORDS]) {
        let Some(slot) = self.free.pop() else { return };
        // There are as many slots as entries in the ring.
        let fits = self.ring.push(&request(slot));
        debug_assert!(fits);
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = Some(pending);
        }
    }

    fn answer(&mut self, id: u64, buffer: Option<mayfly_device::BlockBuffer>, error: DeviceError) {
        self.answered.push(Completion { id, buffer, result: Err(error) });
    }

    /// The next answer of the back end.
    fn take(&mut self) -> Result<Option<Completion>, BadIndex> {
        let Some(words) = self.ring.pop()? else { return Ok(None) };
        let Response { id, status } = Response::read(words);
        let slot = u16::try_from(id).map_err(|_| BadIndex)?;
        let pending = self.slots.get_mut(usize::from(slot)).and_then(Option::take);
        let pending = pending.ok_or(BadIndex)?;
        self.free.push(slot);
        Ok(Some(pending.complete(status)))
    }
}

impl BlockDevice for BlkFront {
    fn info(&self) -> BlockInfo {
        self.info
    }

    fn submit(&mut self, request: BlockRequest) -> Result<(), BlockRequest> {
        if !self.is_usable() || self.free.is_empty() {
            return Err(request);
        }
        let BlockRequest { id, sector, operation } = request;
        match operation {
            BlockOperation::Read(buffer) => self.transfer((id, sector), Operation::Read, buffer)?,
            BlockOperation::Write(buffer) => {
                self.transfer((id, sector), Operation::Write, buffer)?;
            }
            BlockOperation::Flush => self.push(Pending::without_data(id), |slot| {
                wire::transfer(Operation::Flush, slot, 0, &[])
            }),
            BlockOperation::Discard(count) => {
                let (first, count) = (self.first(sector), self.first(count.into()));
                self.push(Pending::without_data(id), |slot| wire::discard(slot, first, count));
            }
            // A disk of Xen has no serial number.
            BlockOperation::Identify(buffer) => {
                self.answer(id, Some(buffer), DeviceError::Unsupported);
            }
        }
        Ok(())
    }

    fn flush_queue(&mut self) {
        if self.is_usable() && self.ring.publish() {
            self.channel.notify();
        }
    }

    fn complete(&mut self) -> Option<Completion> {
        if let Some(answered) = self.answered.pop() {
            return Some(answered);
        }
        if !self.is_usable() {
            return None;
        }
        self.take().unwrap_or_else(|BadIndex| {
            self.fail();
            None
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        self.line.watch(cx);
        if !self.answered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.is_broken {
            return Poll::Ready(Err(DeviceError::Protocol));
        }
        if !self.line.is_connected() {
            return Poll::Ready(Err(DeviceError::Gone));
        }
        if self.ring.wants_event_after(1) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
