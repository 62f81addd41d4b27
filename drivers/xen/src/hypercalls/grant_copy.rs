//! The request for a copy from or to a page of another domain (xen/include/public/grant_table.h).

use core::marker::PhantomData;

use mayfly_arch::{PAGE_SIZE, mmu};

use super::SELF;
use crate::grants::{DomainId, GrantRef, GrantStatus};

/// A copy within Xen between a page of this guest and one that another domain has granted:
/// `struct gnttab_copy`. It is of no use when the buffer is not borrowed any more.
#[repr(C)]
pub(crate) struct GrantCopy<'a> {
    source: Pointer,
    destination: Pointer,
    length: u16,
    flags: u16,
    status: i16,
    buffer: PhantomData<&'a mut [u8]>,
}

/// `struct gnttab_copy_ptr`.
#[repr(C)]
struct Pointer {
    /// A grant of the domain, or a frame of this guest.
    page: u64,
    domain: u16,
    offset: u16,
}

const SOURCE_IS_GRANT: u16 = 1;
const DESTINATION_IS_GRANT: u16 = 2;

impl<'a> GrantCopy<'a> {
    /// One that copies nothing, for arrays.
    pub(crate) const EMPTY: Self = {
        const NOWHERE: Pointer = Pointer { page: 0, domain: SELF, offset: 0 };
        Self::new(NOWHERE, NOWHERE, 0, 0)
    };

    /// Fills `buffer` from a page that is granted. `None` if one of the two is not within a page.
    pub(crate) fn read(
        domain: DomainId,
        page: GrantRef,
        offset: usize,
        buffer: &'a mut [u8],
    ) -> Option<Self> {
        let (destination, length) = Pointer::own(buffer.as_mut_ptr(), buffer.len())?;
        let source = Pointer::foreign(domain, page, offset, length)?;
        Some(Self::new(source, destination, length, SOURCE_IS_GRANT))
    }

    /// Writes `buffer` to a page that is granted. `None` if one of the two is not within a page.
    pub(crate) fn write(
        domain: DomainId,
        page: GrantRef,
        offset: usize,
        buffer: &'a [u8],
    ) -> Option<Self> {
        let (source, length) = Pointer::own(buffer.as_ptr(), buffer.len())?;
        let destination = Pointer::foreign(domain, page, offset, length)?;
        Some(Self::new(source, destination, length, DESTINATION_IS_GRANT))
    }

    const fn new(source: Pointer, destination: Pointer, length: u16, flags: u16) -> Self {
        // Xen changes it when it has looked at the request.
        let status = GrantStatus::General as i16;
        Self { source, destination, length, flags, status, buffer: PhantomData }
    }

    /// How it went.
    pub(crate) fn result(&self) -> Result<(), GrantStatus> {
        GrantStatus::check(self.status)
    }

    /// For a fake of Xen: says how it goes.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn set_status(&mut self, status: i16) {
        self.status = status;
    }
}

impl Pointer {
    fn own(start: *const u8, length: usize) -> Option<(Self, u16)> {
        // Xen reads or writes there.
        start.expose_provenance();
        let address = mmu::virt_to_phys(start)?.0;
        let offset = address as usize % PAGE_SIZE;
        is_within_page(offset, length).then_some(())?;
        let page = address / PAGE_SIZE as u64;
        Some((Self { page, domain: SELF, offset: offset as u16 }, length as u16))
    }

    fn foreign(domain: DomainId, page: GrantRef, offset: usize, length: u16) -> Option<Self> {
        let is_within = is_within_page(offset, length.into());
        is_within.then_some(Self { page: page.0.into(), domain: domain.0, offset: offset as u16 })
    }
}

/// Whether a part of this length, at this offset, is within a page.
fn is_within_page(offset: usize, length: usize) -> bool {
    offset < PAGE_SIZE && length <= PAGE_SIZE - offset
}
