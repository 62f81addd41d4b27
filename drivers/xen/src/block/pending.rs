//! A request that the back end has, or had when it went away, or is to get.

use alloc::{rc::Rc, vec::Vec};
use core::{hint, mem};

use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{BlockBuffer, BlockOperation, BlockRequest, Completion, DeviceError};

use super::{
    pool::{self, Pool, PooledPage},
    wire::{Operation, Segment, Status, UNIT},
};
use crate::grants::{Access, DomainId, GrantError, GrantablePages, GrantedPages, Reservation};

/// The data of a request.
pub(super) struct Data(BlockBuffer);

// SAFETY: a buffer has pages of its own, which stay where they are until it is dropped, and nobody
// looks at them as long as one is granted: `Pending` has the only other reference, and gives the
// buffer out when it is the last. Any bytes are data.
unsafe impl GrantablePages for Data {
    fn count(&self) -> usize {
        self.0.len().div_ceil(PAGE_SIZE)
    }

    fn frame(&self, page: usize) -> Option<u64> {
        let start = self.0.as_ptr().wrapping_add(page * PAGE_SIZE);
        Some(mmu::virt_to_phys(start)?.0 / PAGE_SIZE as u64)
    }
}

/// What is asked of the back end, in the protocol's sectors.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) operation: Operation,
    /// The first sector.
    pub(super) first: u64,
    /// How many sectors are to be discarded.
    pub(super) count: u64,
}

impl Asked {
    /// What the back end does with the data.
    fn access(self) -> Access {
        if self.operation == Operation::Write { Access::ReadOnly } else { Access::ReadWrite }
    }
}

/// A request of the kernel, which the back end gets in one or more parts.
pub(super) struct Pending {
    id: u64,
    pub(super) asked: Asked,
    data: Option<Rc<Data>>,
    granted: Option<GrantedPages<Data>>,
    /// The pages with the data instead, where pages stay granted.
    staged: Vec<PooledPage>,
    /// Parts that the back end has not answered.
    left: usize,
    /// The worst of its answers.
    status: Status,
    /// The queue that it is in.
    pub(super) queue: usize,
    /// How many requests there were before it.
    pub(super) order: u64,
}

impl Pending {
    /// A request that the back end does not have yet.
    ///
    /// # Errors
    /// The buffer, if there is no memory.
    pub(super) fn new(
        id: u64,
        asked: Asked,
        buffer: Option<BlockBuffer>,
    ) -> Result<Self, Option<BlockBuffer>> {
        // `Rc::new` cannot fail, so what it takes must be there. Nobody else takes it in between,
        // and memory that nobody looks at, the compiler need not allocate.
        let mut room: Vec<(Data, usize, usize)> = Vec::new();
        if hint::black_box(&mut room).try_reserve_exact(1).is_err() {
            return Err(buffer);
        }
        drop(hint::black_box(room));
        let data = buffer.map(|buffer| Rc::new(Data(buffer)));
        Ok(Self {
            id,
            asked,
            data,
            granted: None,
            staged: Vec::new(),
            left: 0,
            status: Status::Okay,
            queue: 0,
            order: 0,
        })
    }

    /// Whether it is to make durable what was written.
    pub(super) fn is_flush(&self) -> bool {
        self.asked.operation == Operation::Flush
    }

    /// Pages of data.
    pub(super) fn pages(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.count())
    }

    /// Grants the data to the back end.
    ///
    /// # Errors
    /// If there are too few entries at the moment.
    pub(super) fn grant(
        &mut self,
        entries: &Reservation,
        domain: DomainId,
    ) -> Result<(), GrantError> {
        if let Some(data) = &self.data {
            self.granted = Some(entries.grant_pages(domain, data, self.asked.access())?);
        }
        Ok(())
    }

    /// Puts the data on pages that stay granted. `None` if there are too few at the moment.
    pub(super) fn stage(
        &mut self,
        pool: &mut Pool,
        entries: &Reservation,
        domain: DomainId,
    ) -> Option<()> {
        let Some(data) = &self.data else { return Some(()) };
        self.staged = pool.take(data.count(), entries, domain)?;
        if self.asked.operation == Operation::Write {
            pool::write(&self.staged, &data.0);
        }
        Some(())
    }

    /// Gives pages back that the back end does not use for this request any more.
    pub(super) fn give_back(&mut self, pool: Option<&mut Pool>) {
        self.granted = None;
        if let Some(pool) = pool {
            pool.put_back(mem::take(&mut self.staged));
        }
    }

    /// Takes the data that was read, when all parts are answered.
    pub(super) fn take_data(&mut self) {
        if self.asked.operation == Operation::Read
            && let Some(data) = self.data.as_mut().and_then(Rc::get_mut)
        {
            pool::read(&self.staged, &mut data.0);
        }
    }

    /// Ends the back end's access to the data. What it still has mapped is kept until it has not.
    pub(super) fn release(&mut self) {
        self.granted = None;
        self.staged = Vec::new();
    }

    /// The back end has it, in so many parts.
    pub(super) fn begin(&mut self, parts: usize) {
        (self.left, self.status) = (parts, Status::Okay);
    }

    /// The back end has answered a part of it. Returns whether that was the last.
    pub(super) fn take_answer(&mut self, status: Status) -> bool {
        self.left = self.left.saturating_sub(1);
        self.status = self.status.max(status);
        self.left == 0
    }

    /// The worst of the answers.
    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// What the back end is told of the data from page `first` on.
    pub(super) fn segments(&self, first: usize) -> impl Iterator<Item = Segment> {
        let size = self.data.as_ref().map_or(0, |data| data.0.len());
        let references = self.granted.iter().flat_map(GrantedPages::references).copied();
        let references = references.chain(self.staged.iter().map(PooledPage::reference));
        references.enumerate().skip(first).map(move |(page, reference)| {
            let left = size.saturating_sub(page * PAGE_SIZE).min(PAGE_SIZE);
            let last = (left / UNIT).saturating_sub(1) as u8;
            Segment { reference: reference.0, last }
        })
    }

    /// The data again, and the request's number. The data is missing if the back end did not let go
    /// of it.
    fn into_buffer(self) -> (u64, Option<Option<BlockBuffer>>) {
        drop(self.granted);
        (self.id, self.data.map(|data| Rc::into_inner(data).map(|data| data.0)))
    }

    /// What the kernel has asked for, in its sectors of so many of the protocol's, as the back end was
    /// not told of it.
    ///
    /// # Errors
    /// The answer, if the back end was quick to take what it has not been told of.
    pub(super) fn into_request(self, units: u64) -> Result<BlockRequest, Completion> {
        let Asked { operation, first, count } = self.asked;
        let (sector, discarded) = (first / units, count / units);
        let (id, buffer) = self.into_buffer();
        let operation = match (operation, buffer) {
            (_, Some(None)) => {
                return Err(Completion { id, buffer: None, result: Err(DeviceError::Protocol) });
            }
            (Operation::Write, Some(Some(buffer))) => BlockOperation::Write(buffer),
            (_, Some(Some(buffer))) => BlockOperation::Read(buffer),
            (Operation::Discard, None) => BlockOperation::Discard(discarded as u32),
            (_, None) => BlockOperation::Flush,
        };
        Ok(BlockRequest { id, sector, operation })
    }

    /// The answer to the request. The buffer is missing if the back end did not let go of it.
    pub(super) fn complete(self, result: Result<(), DeviceError>) -> Completion {
        let (id, buffer) = self.into_buffer();
        let is_kept = matches!(buffer, Some(None));
        let result = if is_kept { result.and(Err(DeviceError::Protocol)) } else { result };
        Completion { id, buffer: buffer.flatten(), result }
    }
}
