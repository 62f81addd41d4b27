//! What Xen does with grant tables (xen/include/public/grant_table.h).

use mayfly_arch::{PAGE_SIZE, hypercall};

use super::{GRANT_TABLE_OP, GrantCopy, Hypercalls, SELF, add_to_physmap, yield_now};
use crate::{
    XenError,
    balloon::{Change, Reservation},
    grants::{Access, DomainId, ForeignError, GrantRef, GrantStatus, Handle, Operations},
    shared_page::{FilledPlace, Place, TakenFrame},
};

/// `XENMAPSPACE_grant_table`.
const GRANT_TABLE: u32 = 1;

/// How often Xen is asked again when the other side's page is not at hand.
const TRIES: u32 = 16;

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
        // SAFETY: a place is for one user, and has no memory.
        match unsafe { add_to_physmap(GRANT_TABLE, index as u64, place.frame()) } {
            // SAFETY: there is now, for good.
            Ok(()) => Ok(unsafe { place.fill() }),
            Err(error) => Err((error, place)),
        }
    }

    fn replace_frame(&self, index: usize, frame: TakenFrame) -> Result<(), XenError> {
        // SAFETY: what is there is written by others at any time, so it may be another page as well.
        unsafe { add_to_physmap(GRANT_TABLE, index as u64, frame.number()) }
    }

    fn fill(&self, frame: TakenFrame) -> Result<(), XenError> {
        // SAFETY: as above.
        all(unsafe { self.change(Change::Populate, &[frame.number()]) })
    }

    fn empty(&self, page: FilledPlace) -> Result<Place, XenError> {
        // SAFETY: what has no memory any more is not used either: its owner gives it up here.
        all(unsafe { self.change(Change::Decrease, &[page.frame()]) })?;
        Ok(page.empty())
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

/// Whether Xen has done what it was asked for with one frame.
fn all(done: usize) -> Result<(), XenError> {
    // It does not say why not. `ENOMEM`
    if done == 1 { Ok(()) } else { Err(XenError(12)) }
}
