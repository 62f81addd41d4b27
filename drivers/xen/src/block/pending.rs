//! A request that the back end has.

use alloc::rc::Rc;

use heapless::Vec;
use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{BlockBuffer, Completion, DeviceError};

use super::{
    Connection, MAX_PAGES,
    wire::{self, Operation, Segment, Status, UNIT, WORDS},
};
use crate::grants::{Access, Grant, Grantable};

/// A page of a buffer, which is kept by all of its pages.
struct Page {
    buffer: Rc<BlockBuffer>,
    index: usize,
}

// SAFETY: a buffer has pages of its own, which stay where they are until it is dropped, and nobody
// looks at them as long as one is granted: `Pending` has the only other reference, and gives the
// buffer out when it is the last. Any bytes are data.
unsafe impl Grantable for Page {
    fn frame(&self) -> Option<u64> {
        let start = self.buffer.as_ptr().wrapping_add(self.index * PAGE_SIZE);
        Some(mmu::virt_to_phys(start)?.0 / PAGE_SIZE as u64)
    }
}

/// What is asked of the back end, in its sectors.
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

type Grants = Vec<Grant<Page>, MAX_PAGES>;

/// A request under way: its number, and what the back end has of it.
pub(super) struct Pending {
    id: u64,
    asked: Asked,
    buffer: Option<Rc<BlockBuffer>>,
    grants: Grants,
}

impl Pending {
    /// A request without data.
    pub(super) fn without_data(id: u64, asked: Asked) -> Self {
        Self { id, asked, buffer: None, grants: Vec::new() }
    }

    /// Grants a buffer to the back end.
    ///
    /// # Errors
    /// The buffer, if there are too few entries at the moment or it has more pages than a request;
    /// nothing, if the back end was quick to take what it has not been told of.
    pub(super) fn new(
        id: u64,
        asked: Asked,
        buffer: BlockBuffer,
        connection: &Connection,
    ) -> Result<Self, Option<BlockBuffer>> {
        let buffer = Rc::new(buffer);
        match grant(&buffer, asked.access(), connection) {
            Some(grants) => Ok(Self { id, asked, buffer: Some(buffer), grants }),
            None => Err(Rc::try_unwrap(buffer).ok()),
        }
    }

    /// Ends the back end's access to the data. What it still has mapped is kept until it has not.
    pub(super) fn release(&mut self) {
        self.grants.clear();
    }

    /// Grants the data to a back end that has come back, instead of to the one that went away. Returns
    /// whether that worked.
    pub(super) fn renew(&mut self, connection: &Connection) -> bool {
        self.release();
        let Some(buffer) = &self.buffer else { return true };
        let grants = grant(buffer, self.asked.access(), connection);
        grants.map(|grants| self.grants = grants).is_some()
    }

    /// The words of the request.
    pub(super) fn words(&self, slot: u16) -> [u32; WORDS] {
        let Asked { operation, first, count } = self.asked;
        match operation {
            Operation::Discard => wire::discard(slot, first, count),
            _ => wire::transfer(operation, slot, first, &self.segments()),
        }
    }

    /// What the back end is told of the data.
    fn segments(&self) -> Vec<Segment, MAX_PAGES> {
        let size = self.buffer.as_ref().map_or(0, |buffer| buffer.len());
        let pages = self.grants.iter().enumerate();
        pages
            .map(|(index, grant)| {
                let left = size.saturating_sub(index * PAGE_SIZE).min(PAGE_SIZE);
                let last = (left / UNIT).saturating_sub(1) as u8;
                Segment { reference: grant.reference().0, last }
            })
            .collect()
    }

    /// The answer to the request. The buffer is missing if the back end did not let go of it.
    pub(super) fn complete(self, status: Status) -> Completion {
        drop(self.grants);
        let buffer = self.buffer.map(Rc::try_unwrap);
        let result = match (status, &buffer) {
            (Status::Okay, None | Some(Ok(_))) => Ok(()),
            (Status::Unsupported, _) => Err(DeviceError::Unsupported),
            (Status::Okay, Some(Err(_))) => Err(DeviceError::Protocol),
            (Status::Error, _) => Err(DeviceError::Io),
        };
        Completion { id: self.id, buffer: buffer.and_then(Result::ok), result }
    }
}

/// Grants all pages of a buffer. `None` if that cannot be done.
fn grant(buffer: &Rc<BlockBuffer>, access: Access, connection: &Connection) -> Option<Grants> {
    let count = buffer.len().div_ceil(PAGE_SIZE);
    if count > MAX_PAGES || count > connection.entries.left() {
        return None;
    }
    let mut grants = Vec::new();
    for index in 0..count {
        let page = Page { buffer: Rc::clone(buffer), index };
        let granted = connection.entries.grant(connection.domain, page, access).ok()?;
        grants.push(granted).ok()?;
    }
    Some(grants)
}
