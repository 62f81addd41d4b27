//! Pages for data that stay granted, so that a back end that wants that need not map and unmap them
//! for each request (`feature-persistent`).
//!
//! Data is copied between them and the buffers of requests. They never have another use as long as
//! the connection is there, since the back end has them mapped, for reading and writing.

use alloc::vec::Vec;

use mayfly_arch::PAGE_SIZE;

use crate::{
    grants::{Access, DomainId, Grant, Reservation},
    shared_page::HeapPage,
};

/// A page that stays granted.
pub(super) type PooledPage = Grant<HeapPage>;

/// Pages that no request uses.
pub(super) struct Pool {
    free: Vec<PooledPage>,
    /// Those that were not granted yet.
    fresh: Vec<HeapPage>,
    /// How many more there may be.
    rest: usize,
}

impl Pool {
    /// A pool that has `least` pages at once and never more than `most`. `None` if there is no
    /// memory for that.
    pub(super) fn new(least: usize, most: usize) -> Option<Self> {
        let (mut free, mut fresh) = (Vec::new(), Vec::new());
        free.try_reserve_exact(most).ok()?;
        fresh.try_reserve_exact(least).ok()?;
        for _ in 0..least {
            fresh.push(HeapPage::zeroed()?);
        }
        Some(Self { free, fresh, rest: most.saturating_sub(least) })
    }

    /// Takes so many pages. `None` if there are too few at the moment.
    pub(super) fn take(
        &mut self,
        count: usize,
        entries: &Reservation,
        domain: DomainId,
    ) -> Option<Vec<PooledPage>> {
        let mut taken = Vec::new();
        taken.try_reserve_exact(count).ok()?;
        while self.free.len() < count {
            let page = self.fresh.pop().or_else(|| self.one_more())?;
            let granted = entries.grant(domain, page, Access::ReadWrite);
            self.free.push(granted.map_err(|(_, page)| self.fresh.push(page)).ok()?);
        }
        let start = self.free.len() - count;
        taken.extend(self.free.drain(start..));
        Some(taken)
    }

    /// A page that was not there before, if there may be one and there is memory for it.
    fn one_more(&mut self) -> Option<HeapPage> {
        let rest = self.rest.checked_sub(1)?;
        let page = HeapPage::zeroed()?;
        self.rest = rest;
        Some(page)
    }

    /// Takes pages back.
    pub(super) fn put_back(&mut self, mut pages: Vec<PooledPage>) {
        self.free.append(&mut pages);
    }
}

/// Copies data to pages.
pub(super) fn write(pages: &[PooledPage], data: &[u8]) {
    for (page, bytes) in pages.iter().zip(data.chunks(PAGE_SIZE)) {
        page.page().write(bytes);
    }
}

/// Copies data from pages.
pub(super) fn read(pages: &[PooledPage], data: &mut [u8]) {
    for (page, bytes) in pages.iter().zip(data.chunks_mut(PAGE_SIZE)) {
        page.page().read(bytes);
    }
}
