//! A Xen for tests.

mod peer;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::cell::{Cell, RefCell};

pub(crate) use self::peer::PeerPage;
pub(super) use self::peer::entry_frame;
use super::*;
use crate::{
    XenError,
    hypercalls::GrantCopy,
    shared_page::{FilledPlace, HeapPage, Place, TakenFrame, Window},
};

/// What a fake of Xen does, and has done.
#[derive(Default)]
pub(crate) struct Fake {
    pub(super) max_frames: Cell<usize>,
    pub(super) placed: Cell<usize>,
    pub(super) refuses_frames: Cell<bool>,
    pub(super) mapped: RefCell<Vec<(u64, Handle)>>,
    /// Frames that memory of the guest was put at.
    pub(super) filled: RefCell<Vec<u64>>,
    /// What the next operations on foreign pages end with; then they work.
    pub(super) statuses: RefCell<VecDeque<i16>>,
    /// Whose grants are mapped: with none, a mapping shows memory of its own.
    pub(crate) granting: Cell<Option<&'static GrantTable>>,
    /// What is mapped of that.
    pub(super) shown: RefCell<Vec<(Handle, PeerPage)>>,
    /// How many copies came at a time.
    pub(super) copies: RefCell<Vec<usize>>,
}

impl Fake {
    fn next_status(&self) -> Result<(), GrantStatus> {
        GrantStatus::check(self.statuses.borrow_mut().pop_front().unwrap_or(0))
    }
}

impl Operations for Fake {
    fn max_frames(&self) -> Result<usize, XenError> {
        Ok(self.max_frames.get())
    }

    fn place_frame(&self, index: usize, place: Place) -> Result<FilledPlace, (XenError, Place)> {
        assert_eq!(index, self.placed.get());
        if self.refuses_frames.get() {
            return Err((XenError(12), place));
        }
        self.placed.set(index + 1);
        // SAFETY: in tests, a window has memory.
        Ok(unsafe { place.fill() })
    }

    fn replace_frame(&self, index: usize, _: TakenFrame) -> Result<(), XenError> {
        assert!(index < self.placed.get());
        Ok(())
    }

    fn fill(&self, frame: TakenFrame) -> Result<(), XenError> {
        self.mapped.borrow_mut().retain(|(mapped, _)| *mapped != frame.number());
        self.filled.borrow_mut().push(frame.number());
        Ok(())
    }

    fn empty(&self, page: FilledPlace) -> Result<Place, XenError> {
        let mut filled = self.filled.borrow_mut();
        let index = filled.iter().position(|frame| *frame == page.frame()).unwrap();
        filled.remove(index);
        Ok(page.empty())
    }

    fn map(
        &self,
        domain: DomainId,
        page: GrantRef,
        access: Access,
        place: Place,
    ) -> Result<(FilledPlace, Handle), (ForeignError, Place)> {
        if let Err(status) = self.next_status() {
            return Err((ForeignError::Refused(status), place));
        }
        let handle = Handle(page.0 + 100);
        if let Some(table) = self.granting.get() {
            let Some(shown) = PeerPage::map(table, domain, page, access) else {
                return Err((ForeignError::Refused(GrantStatus::General), place));
            };
            let start = shown.start();
            self.mapped.borrow_mut().push((place.frame(), handle));
            self.shown.borrow_mut().push((handle, shown));
            // SAFETY: the grant table keeps a page that is mapped.
            return Ok((unsafe { place.fill_with(start) }, handle));
        }
        self.mapped.borrow_mut().push((place.frame(), handle));
        // SAFETY: as above.
        Ok((unsafe { place.fill() }, handle))
    }

    fn unmap(&self, page: FilledPlace, handle: Handle) -> Result<Place, ForeignError> {
        self.next_status().map_err(ForeignError::Refused)?;
        let mut mapped = self.mapped.borrow_mut();
        let index = mapped.iter().position(|entry| *entry == (page.frame(), handle)).unwrap();
        mapped.remove(index);
        self.shown.borrow_mut().retain(|(shown, _)| *shown != handle);
        Ok(page.empty())
    }

    fn copy(&self, copies: &mut [GrantCopy<'_>]) -> Result<(), XenError> {
        self.copies.borrow_mut().push(copies.len());
        for copy in copies {
            copy.set_status(self.statuses.borrow_mut().pop_front().unwrap_or(0));
        }
        Ok(())
    }
}

/// A Xen that gives so many frames.
pub(crate) fn xen(max_frames: usize) -> &'static Fake {
    let fake = Fake::default();
    fake.max_frames.set(max_frames);
    Box::leak(Box::new(fake))
}

/// A table that may have so many frames.
pub(crate) fn table(max_frames: usize) -> (&'static Fake, &'static GrantTable) {
    let fake = xen(max_frames);
    let window = Window::with_memory(max_frames.min(Window::MAX));
    (fake, Box::leak(Box::new(GrantTable::new(window, fake))))
}

/// A page that can be granted, and counts how many of its kind there are.
#[derive(Debug)]
pub(super) struct Page<'a>(HeapPage, &'a Cell<usize>);

impl Page<'static> {
    pub(super) fn new(count: &'static Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(HeapPage::zeroed().unwrap(), count)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        self.1.set(self.1.get() - 1);
    }
}

// SAFETY: a page of the heap can.
unsafe impl Grantable for Page<'static> {
    fn frame(&self) -> Option<u64> {
        Grantable::frame(&self.0)
    }
}

/// A count of pages.
pub(super) fn count() -> &'static Cell<usize> {
    Box::leak(Box::default())
}
