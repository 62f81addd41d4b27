//! A request that the back end has.

use alloc::rc::Rc;

use heapless::Vec;
use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{BlockBuffer, Completion, DeviceError};

use super::{
    MAX_PAGES,
    wire::{Segment, Status, UNIT},
};
use crate::grants::{Access, DomainId, Grant, Grantable, Reservation};

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

/// A request under way: its number, and what the back end has of it.
pub(super) struct Pending {
    id: u64,
    buffer: Option<Rc<BlockBuffer>>,
    grants: Vec<Grant<Page>, MAX_PAGES>,
}

impl Pending {
    /// A request without data.
    pub(super) fn without_data(id: u64) -> Self {
        Self { id, buffer: None, grants: Vec::new() }
    }

    /// Grants a buffer to the back end.
    ///
    /// # Errors
    /// The buffer, if there are too few entries at the moment or it has more pages than a request;
    /// nothing, if the back end was quick to take what it has not been told of.
    pub(super) fn new(
        id: u64,
        buffer: BlockBuffer,
        access: Access,
        domain: DomainId,
        entries: &Reservation,
    ) -> Result<Self, Option<BlockBuffer>> {
        let count = buffer.len().div_ceil(PAGE_SIZE);
        if count > MAX_PAGES || count > entries.left() {
            return Err(Some(buffer));
        }
        let buffer = Rc::new(buffer);
        let mut grants = Vec::new();
        for index in 0..count {
            let page = Page { buffer: Rc::clone(&buffer), index };
            let granted = entries.grant(domain, page, access).ok();
            if granted.is_none_or(|grant| grants.push(grant).is_err()) {
                break;
            }
        }
        if grants.len() < count {
            drop(grants);
            return Err(Rc::try_unwrap(buffer).ok());
        }
        Ok(Self { id, buffer: Some(buffer), grants })
    }

    /// What the back end is told of the data.
    pub(super) fn segments(&self) -> Vec<Segment, MAX_PAGES> {
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
