//! Copies from and to pages of other domains, without mapping them.

use core::{iter, slice};

use super::{DomainId, ForeignError, ForeignPages, GrantRef, GrantStatus};
use crate::hypercalls::{GrantCopy, yield_now};

/// Copies that Xen is asked for at once.
const BATCH: usize = 16;
/// How often Xen is asked again when the other side's page is not at hand.
pub(super) const TRIES: usize = 16;

/// A copy from or to a page that another domain has granted. On neither side may it cross the end of
/// a page.
#[derive(Debug)]
pub struct Copy<'a> {
    /// Whose page it is.
    pub domain: DomainId,
    /// Which page.
    pub page: GrantRef,
    /// Where in it, in bytes.
    pub offset: usize,
    /// In which direction, and what.
    pub buffer: Buffer<'a>,
}

/// What is copied on this side.
#[derive(Debug)]
pub enum Buffer<'a> {
    /// The other domain's page is read to here.
    Read(&'a mut [u8]),
    /// This is written to the other domain's page.
    Write(&'a [u8]),
}

impl Copy<'_> {
    /// As Xen has it. `None` if it is not within a page.
    fn request(&mut self) -> Option<GrantCopy<'_>> {
        match &mut self.buffer {
            Buffer::Read(to) => GrantCopy::read(self.domain, self.page, self.offset, to),
            Buffer::Write(from) => GrantCopy::write(self.domain, self.page, self.offset, from),
        }
    }
}

impl ForeignPages {
    /// Copies, in order.
    ///
    /// # Errors
    /// The first copy that failed, by its index, and why; of what follows, some may be done.
    pub fn copy(&self, copies: &mut [Copy<'_>]) -> Result<(), (usize, ForeignError)> {
        for (batch, copies) in copies.chunks_mut(BATCH).enumerate() {
            let first = batch * BATCH;
            let count = copies.len();
            let mut requests = [const { GrantCopy::EMPTY }; BATCH];
            for (index, (copy, request)) in iter::zip(copies, &mut requests).enumerate() {
                let error = (first + index, ForeignError::NotWithinPage);
                *request = copy.request().ok_or(error)?;
            }
            let requests = requests.get_mut(..count).unwrap_or_default();
            self.xen.copy(requests).map_err(|error| (first, ForeignError::Xen(error)))?;
            for (index, request) in requests.iter_mut().enumerate() {
                self.finish(request).map_err(|error| (first + index, error))?;
            }
        }
        Ok(())
    }

    /// Looks how a copy went, and has it done again if that helps.
    fn finish(&self, request: &mut GrantCopy<'_>) -> Result<(), ForeignError> {
        for _ in 0..TRIES {
            if request.result() != Err(GrantStatus::Again) {
                break;
            }
            yield_now();
            self.xen.copy(slice::from_mut(request)).map_err(ForeignError::Xen)?;
        }
        request.result().map_err(ForeignError::Refused)
    }
}
