//! What is asked of Xen for all this.

use super::{Access, DomainId, ForeignError, GrantRef};
use crate::{
    XenError,
    hypercalls::GrantCopy,
    shared_page::{FilledPlace, Place, TakenFrame},
};

/// What a mapping is called by Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(pub(crate) u32);

/// What Xen does with grant tables, or a fake of it.
pub(crate) trait Operations {
    /// How many frames this guest's table may have.
    fn max_frames(&self) -> Result<usize, XenError>;

    /// Puts a frame of this guest's table at `place`, for good. Xen adds it to the table when it is
    /// not there yet.
    fn place_frame(&self, index: usize, place: Place) -> Result<FilledPlace, (XenError, Place)>;

    /// Puts a frame of the table that the guest has now, in another domain, where the one of the last
    /// table was.
    fn replace_frame(&self, index: usize, frame: TakenFrame) -> Result<(), XenError>;

    /// Puts memory of the guest where a page was mapped in another domain.
    fn fill(&self, frame: TakenFrame) -> Result<(), XenError>;

    /// Takes away what [`fill`](Self::fill) has put there. If that fails, the place is lost.
    fn empty(&self, page: FilledPlace) -> Result<Place, XenError>;

    /// Maps a page that `domain` has granted.
    fn map(
        &self,
        domain: DomainId,
        page: GrantRef,
        access: Access,
        place: Place,
    ) -> Result<(FilledPlace, Handle), (ForeignError, Place)>;

    /// Takes away what [`map`](Self::map) did. If that fails, the place is lost.
    fn unmap(&self, page: FilledPlace, handle: Handle) -> Result<Place, ForeignError>;

    /// Copies; each copy has its own status.
    fn copy(&self, copies: &mut [GrantCopy<'_>]) -> Result<(), XenError>;
}
