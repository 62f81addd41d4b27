//! The back end of a ring.

use core::sync::atomic::Ordering;

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
    requests: u32,
    responses: u32,
}

impl<const WORDS: usize> BackRing<WORDS> {
    const SIZE: usize = 1 << ((PAGE_SIZE - ENTRIES) / (4 * WORDS)).ilog2();

    /// Maps a ring. `None` if it is not granted.
    pub(crate) fn map(guest: &Guest, reference: GrantRef) -> Option<Self> {
        let page = PeerPage::map(guest.sharing.grants, DOM0, reference, Access::ReadWrite)?;
        Some(Self { page, requests: 0, responses: 0 })
    }

    fn load(&self, offset: usize) -> u32 {
        self.page.word(offset).load(Ordering::SeqCst)
    }

    /// The offset of an entry.
    fn entry(index: u32) -> usize {
        ENTRIES + index as usize % Self::SIZE * 4 * WORDS
    }

    /// The next request.
    pub(crate) fn take(&mut self) -> Option<[u32; WORDS]> {
        let there = self.load(REQUESTS).wrapping_sub(self.requests);
        assert!(there as usize <= Self::SIZE, "more requests than entries");
        if there == 0 {
            self.page.word(REQUEST_EVENT).store(self.requests.wrapping_add(1), Ordering::SeqCst);
            return None;
        }
        let at = Self::entry(self.requests);
        self.requests = self.requests.wrapping_add(1);
        Some(core::array::from_fn(|index| self.load(at + 4 * index)))
    }

    /// As [`take`](Self::take), if the index has not been overwritten.
    pub(crate) fn take_if_sane(&mut self) -> Option<[u32; WORDS]> {
        let there = self.load(REQUESTS).wrapping_sub(self.requests);
        (there as usize <= Self::SIZE).then(|| self.take())?
    }

    /// Answers. Returns whether the front end is to be told.
    pub(crate) fn answer(&mut self, response: &[u32]) -> bool {
        let at = Self::entry(self.responses);
        for (index, word) in response.iter().enumerate() {
            self.page.word(at + 4 * index).store(*word, Ordering::SeqCst);
        }
        self.responses = self.responses.wrapping_add(1);
        self.page.word(RESPONSES).store(self.responses, Ordering::SeqCst);
        self.responses == self.load(RESPONSE_EVENT)
    }
}
