//! Pages of other domains, mapped here.

use core::{
    cell::RefCell,
    fmt,
    sync::atomic::{AtomicU8, AtomicU32},
};

use mayfly_arch::PAGE_SIZE;

use super::{Access, DomainId, ForeignError, GrantRef, Handle, Operations};
use crate::{
    incarnation::Incarnation,
    shared_page::{FilledPlace, Window},
};

/// Where pages of other domains can be mapped.
pub struct ForeignPages {
    pub(super) xen: &'static dyn Operations,
    window: RefCell<Window>,
}

impl ForeignPages {
    /// Maps what is mapped in `window`.
    pub(crate) fn new(window: Window, xen: &'static dyn Operations) -> Self {
        Self { xen, window: RefCell::new(window) }
    }

    /// Maps a page that `domain` has granted. With [`Access::ReadOnly`], a write to it is a fault.
    ///
    /// Not for a page that the guest has granted to itself, if it is to be used again: on x86-64, Xen
    /// shows a page of a guest at one address only, so it moves to the mapping, and is gone with it.
    ///
    /// # Errors
    /// [`ForeignError`]
    pub fn map(
        &'static self,
        domain: DomainId,
        page: GrantRef,
        access: Access,
    ) -> Result<Mapping, ForeignError> {
        let place = self.window.borrow_mut().take().ok_or(ForeignError::NoPlace)?;
        match self.xen.map(domain, page, access, place) {
            Ok(filled) => {
                let incarnation = Incarnation::current();
                Ok(Mapping { pages: self, filled: Some(filled), incarnation })
            }
            Err((error, place)) => {
                self.window.borrow_mut().put_back(place);
                Err(error)
            }
        }
    }

    /// Fills the places of pages that were mapped in another domain with zeros, until those who look
    /// at them have let go.
    pub(crate) fn resume(&self) {
        let window = self.window.borrow();
        for frame in window.taken() {
            match self.xen.fill(frame) {
                Ok(()) => window.clear(frame),
                // Then Xen answers for the memory that is not there: with ones.
                Err(error) => log::error!("the place of a page of another domain: {error}"),
            }
        }
    }

    /// How many more pages can be mapped.
    pub fn free(&self) -> usize {
        self.window.borrow().free()
    }
}

/// A page of another domain, until this is dropped. The other domain may write to it at any time.
pub struct Mapping {
    pages: &'static ForeignPages,
    /// `None` when it has been unmapped.
    filled: Option<(FilledPlace, Handle)>,
    incarnation: Incarnation,
}

impl Mapping {
    fn page(&self) -> &FilledPlace {
        &self.filled.as_ref().expect("there until the mapping is dropped").0
    }

    /// The page's words.
    pub fn words(&self) -> &[AtomicU32; PAGE_SIZE / 4] {
        self.page().words()
    }

    /// The page's bytes.
    pub fn bytes(&self) -> &[AtomicU8; PAGE_SIZE] {
        self.page().bytes()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let Some((page, handle)) = self.filled.take() else { return };
        let xen = self.pages.xen;
        let emptied = match self.incarnation.is_over() {
            false => xen.unmap(page, handle),
            true => xen.empty(page).map_err(ForeignError::Xen),
        };
        match emptied {
            Ok(place) => self.pages.window.borrow_mut().put_back(place),
            Err(error) => log::error!("a page of another domain stays mapped: {error}"),
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapping({:?})", self.filled)
    }
}
