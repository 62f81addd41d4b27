//! What Xen does with grant tables (xen/include/public/grant_table.h).

use core::marker::PhantomData;

use mayfly_arch::{PAGE_SIZE, hypercall, mmu};

use super::{GRANT_TABLE_OP, Hypercalls, SELF, add_to_physmap, yield_now};
use crate::{
    XenError,
    grants::{Access, DomainId, ForeignError, GrantRef, GrantStatus, Handle, Operations},
    shared_page::{FilledPlace, Place},
};

/// How often Xen is asked again when the other side's page is not at hand.
const TRIES: u32 = 16;

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
    #[cfg(test)]
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

impl Operations for Hypercalls {
    fn max_frames(&self) -> Result<usize, XenError> {
        const QUERY_SIZE: usize = 6;
        #[repr(C)]
        struct QuerySize {
            domain: u16,
            frames: u32,
            max_frames: u32,
            status: i16,
        }
        let mut argument = QuerySize { domain: SELF, frames: 0, max_frames: 0, status: 0 };
        // SAFETY: `struct gnttab_query_size`; writes the numbers.
        unsafe { one(QUERY_SIZE, &mut argument) }?;
        // Of the status nothing is known that would help: without frames, the table is full.
        Ok(argument.max_frames as usize)
    }

    fn place_frame(&self, index: usize, place: Place) -> Result<FilledPlace, (XenError, Place)> {
        const GRANT_TABLE: u32 = 1;
        // SAFETY: a place is for one user, and has no memory.
        match unsafe { add_to_physmap(GRANT_TABLE, index as u64, place.frame()) } {
            // SAFETY: there is now, for good.
            Ok(()) => Ok(unsafe { place.fill() }),
            Err(error) => Err((error, place)),
        }
    }

    fn map(
        &self,
        domain: DomainId,
        page: GrantRef,
        access: Access,
        place: Place,
    ) -> Result<(FilledPlace, Handle), (ForeignError, Place)> {
        const MAP_GRANT_REF: usize = 0;
        const HOST_MAP: u32 = 1 << 1;
        const READ_ONLY: u32 = 1 << 2;
        #[repr(C)]
        struct MapGrantRef {
            address: u64,
            flags: u32,
            reference: u32,
            domain: u16,
            status: i16,
            handle: u32,
            bus_address: u64,
        }
        let flags = HOST_MAP | if access == Access::ReadOnly { READ_ONLY } else { 0 };
        let mut argument = MapGrantRef {
            address: place.frame() * PAGE_SIZE as u64,
            flags,
            reference: page.0,
            domain: domain.0,
            status: GrantStatus::General as i16,
            handle: 0,
            bus_address: 0,
        };
        // SAFETY: `struct gnttab_map_grant_ref`; writes the last four fields but one, and puts a page
        // at a place that is for one user, and has no memory.
        let again = || unsafe {
            one(MAP_GRANT_REF, &mut argument)?;
            Ok((argument.status, argument.handle))
        };
        match retry(again) {
            // SAFETY: there is memory now, until it is unmapped.
            Ok(handle) => Ok((unsafe { place.fill() }, Handle(handle))),
            Err(error) => Err((error, place)),
        }
    }

    fn unmap(&self, page: FilledPlace, handle: Handle) -> Result<Place, ForeignError> {
        const UNMAP_GRANT_REF: usize = 1;
        #[repr(C)]
        struct UnmapGrantRef {
            address: u64,
            bus_address: u64,
            handle: u32,
            status: i16,
        }
        let mut argument = UnmapGrantRef {
            address: page.frame() * PAGE_SIZE as u64,
            bus_address: 0,
            handle: handle.0,
            status: GrantStatus::General as i16,
        };
        // SAFETY: `struct gnttab_unmap_grant_ref`; writes the status. What is no longer mapped is not
        // used either: its owner gives it up here.
        let again = || unsafe {
            one(UNMAP_GRANT_REF, &mut argument)?;
            Ok((argument.status, 0))
        };
        retry(again)?;
        Ok(page.empty())
    }

    fn copy(&self, copies: &mut [GrantCopy<'_>]) -> Result<(), XenError> {
        const COPY: usize = 5;
        let start = copies.as_mut_ptr().expose_provenance();
        let arguments = [COPY, start, copies.len(), 0, 0];
        // SAFETY: an array of `struct gnttab_copy`, of which Xen writes the status. Memory of this
        // guest that it reads or writes is borrowed for that, as it is nowhere else set.
        XenError::check(unsafe { hypercall::call(GRANT_TABLE_OP, arguments) })?;
        Ok(())
    }
}

/// Runs a command on one argument. Unlike other calls, this one is told how many there are.
///
/// # Safety
/// As of [`command`](super::command).
unsafe fn one<T>(what: usize, argument: &mut T) -> Result<(), XenError> {
    let argument = (&raw mut *argument).expose_provenance();
    // SAFETY: the caller's promise.
    XenError::check(unsafe { hypercall::call(GRANT_TABLE_OP, [what, argument, 1, 0, 0]) })?;
    Ok(())
}

/// Does something again as long as Xen asks for that, but not for ever. `again` returns a status and
/// what is to be returned if that is good.
fn retry(mut again: impl FnMut() -> Result<(i16, u32), XenError>) -> Result<u32, ForeignError> {
    for _ in 1..TRIES {
        let (status, value) = again().map_err(ForeignError::Xen)?;
        match GrantStatus::check(status) {
            Ok(()) => return Ok(value),
            Err(GrantStatus::Again) => yield_now(),
            Err(status) => return Err(ForeignError::Refused(status)),
        }
    }
    Err(ForeignError::Refused(GrantStatus::Again))
}
