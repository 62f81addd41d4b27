//! The back end of a ring.

extern crate std;

use core::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;

use mayfly_arch::PAGE_SIZE;

use super::{DOM0, Guest};
use crate::grants::{Access, GrantRef, fake::PeerPage};

const REQUESTS: usize = 0;
const REQUEST_EVENT: usize = 4;
const RESPONSES: usize = 8;
const RESPONSE_EVENT: usize = 12;
const ENTRIES: usize = 64;

/// A ring with entries of `WORDS` words, as ring.h has it.
pub(crate) struct BackRing<const WORDS: usize> {
    pub(crate) page: PeerPage,
    /// Those behind it.
    others: Vec<PeerPage>,
    requests: u32,
    responses: u32,
}

impl<const WORDS: usize> BackRing<WORDS> {
    /// Maps a ring. `None` if it is not granted.
    pub(crate) fn map(guest: &Guest, reference: GrantRef) -> Option<Self> {
        Self::map_pages(guest, &[reference])
    }

    /// Maps a ring of several pages.
    pub(crate) fn map_pages(guest: &Guest, references: &[GrantRef]) -> Option<Self> {
        let map = |reference: &GrantRef| {
            PeerPage::map(guest.sharing.grants, DOM0, *reference, Access::ReadWrite)
        };
        let mut pages = references.iter().map(map).collect::<Option<Vec<_>>>()?;
        let page = pages.remove(0);
        Some(Self { page, others: pages, requests: 0, responses: 0 })
    }

    fn size(&self) -> usize {
        let bytes = (1 + self.others.len()) * PAGE_SIZE - ENTRIES;
        1 << (bytes / (4 * WORDS)).ilog2()
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        match offset / PAGE_SIZE {
            0 => self.page.word(offset),
            page => self.others[page - 1].word(offset % PAGE_SIZE),
        }
    }

    fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::SeqCst)
    }

    /// The offset of an entry.
    fn entry(&self, index: u32) -> usize {
        ENTRIES + index as usize % self.size() * 4 * WORDS
    }

    /// The next request.
    pub(crate) fn take(&mut self) -> Option<[u32; WORDS]> {
        let there = self.load(REQUESTS).wrapping_sub(self.requests);
        assert!(there as usize <= self.size(), "more requests than entries");
        if there == 0 {
            self.word(REQUEST_EVENT).store(self.requests.wrapping_add(1), Ordering::SeqCst);
            return None;
        }
        let at = self.entry(self.requests);
        self.requests = self.requests.wrapping_add(1);
        Some(core::array::from_fn(|index| self.load(at + 4 * index)))
    }

    /// As [`take`](Self::take), if the index has not been overwritten.
    pub(crate) fn take_if_sane(&mut self) -> Option<[u32; WORDS]> {
        let there = self.load(REQUESTS).wrapping_sub(self.requests);
        (there as usize <= self.size()).then(|| self.take())?
    }

    /// Answers. Returns whether the front end is to be told.
    pub(crate) fn answer(&mut self, response: &[u32]) -> bool {
        let at = self.entry(self.responses);
        for (index, word) in response.iter().enumerate() {
            self.word(at + 4 * index).store(*word, Ordering::SeqCst);
        }
        self.responses = self.responses.wrapping_add(1);
        self.word(RESPONSES).store(self.responses, Ordering::SeqCst);
        self.responses == self.load(RESPONSE_EVENT)
    }
}
