//! Memory of several pages that is granted.

use alloc::{rc::Rc, vec::Vec};
use core::fmt;

use super::{
    Access, DomainId, GrantError, GrantRef, GrantTable, Grantable, Reservation, reservation::Quota,
};

/// Memory of whole pages that can be granted, or part of it, of which the other domain sees all
/// pages.
///
/// # Safety
/// As long as the value is not dropped, wherever it is moved, the frames are the value's own, and it
/// is sound that somebody else reads them, and writes them unless they are only granted for reading.
pub(crate) unsafe trait GrantablePages: 'static {
    /// How many pages there are.
    fn count(&self) -> usize;

    /// The number of a page's frame. `None` if there is none.
    fn frame(&self, page: usize) -> Option<u64>;
}

/// A page of them, which keeps all.
struct Page<T> {
    pages: Rc<T>,
    index: usize,
}

// SAFETY: the same memory, which is there as long as one of its pages.
unsafe impl<T: GrantablePages> Grantable for Page<T> {
    fn frame(&self) -> Option<u64> {
        self.pages.frame(self.index)
    }
}

/// Pages that another domain may access, until this is dropped.
///
/// As of a `Grant`, those that the other domain still uses then are kept until it does not, and so is
/// the memory that they are part of.
pub(crate) struct GrantedPages<T: GrantablePages> {
    table: &'static GrantTable,
    references: Vec<GrantRef>,
    pages: Rc<T>,
    quota: Rc<Quota>,
}

impl Reservation {
    /// Grants all pages with entries of the reservation, or none.
    ///
    /// # Errors
    /// [`GrantError`]
    pub(crate) fn grant_pages<T: GrantablePages>(
        &self,
        domain: DomainId,
        pages: &Rc<T>,
        access: Access,
    ) -> Result<GrantedPages<T>, GrantError> {
        let count = pages.count();
        self.table().make_left(self.quota(), count)?;
        let mut references = Vec::new();
        references.try_reserve_exact(count).map_err(|_| GrantError::NoMemory)?;
        let (table, quota) = (self.table(), Rc::clone(self.quota()));
        let mut granted = GrantedPages { table, references, pages: Rc::clone(pages), quota };
        for index in 0..count {
            let frame = pages.frame(index).ok_or(GrantError::NoFrame)?;
            let reference = table.begin(domain, frame, access, &granted.quota)?;
            granted.references.push(reference);
        }
        Ok(granted)
    }
}

impl<T: GrantablePages> GrantedPages<T> {
    /// What the other domain is told of each page.
    pub(crate) fn references(&self) -> &[GrantRef] {
        &self.references
    }
}

impl<T: GrantablePages> Drop for GrantedPages<T> {
    fn drop(&mut self) {
        for (index, reference) in self.references.drain(..).enumerate() {
            if !self.table.try_end(reference, Some(&self.quota)) {
                let page = Page { pages: Rc::clone(&self.pages), index };
                self.table.release(reference, page, Some(Rc::clone(&self.quota)));
            }
        }
    }
}

impl<T: GrantablePages> fmt::Debug for GrantedPages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantedPages({} pages)", self.references.len())
    }
}
