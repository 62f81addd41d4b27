//! A ring of requests and responses: how a front end and a back end talk about packets and blocks
//! (xen/include/public/io/ring.h).
//!
//! ```text
//!   0x00   req_prod    requests so far                        written by the front end
//!   0x04   req_event   wake me when req_prod passes this      written by the back end
//!   0x08   rsp_prod    responses so far                       written by the back end
//!   0x0c   rsp_event   wake me when rsp_prod passes this      written by the front end
//!   0x40   entries: each is a request at first, and a response later
//! ```
//!
//! Indices count up and wrap at 2^32; the entry of an index is the rest by the number of entries,
//! which is a power of two. A response need not be to the oldest request: it names it by a number
//! that the front end chose. There are never more requests without a response than entries, so a
//! back end that says otherwise lies.
//!
//! An event is sent only if the other side asked for one: that is how a burst costs one. After it
//! has asked, a side has to look again, because the other one may have written before it could know.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use mayfly_arch::PAGE_SIZE;

use crate::{byte_ring::BadIndex, grants::Grant, shared_page::HeapPage, shared_word::SharedWord};

/// Pages that both ends see one after the other, for as long as the value is there.
pub(crate) trait RingPages {
    /// What they consist of.
    type Word: SharedWord + 'static;

    /// How many there are, at least one.
    fn count(&self) -> usize {
        1
    }

    /// The words of the first.
    fn words(&self) -> &[Self::Word];

    /// The words of an entry, from this one of all words on. It may cross the end of a page.
    fn entry(&self, start: usize, count: usize) -> impl Iterator<Item = &Self::Word> {
        self.words().get(start..start + count).unwrap_or_default().iter()
    }

    /// The word at `offset` bytes, which is a constant of the protocol.
    fn word(&self, offset: usize) -> &Self::Word {
        &self.words()[offset / 4]
    }
}

const REQUESTS: usize = 0;
const REQUEST_EVENT: usize = 4;
const RESPONSES: usize = 8;
const RESPONSE_EVENT: usize = 12;
const ENTRIES: usize = 64;
const WORDS_PER_PAGE: usize = PAGE_SIZE / 4;

impl RingPages for Grant<HeapPage> {
    type Word = AtomicU32;

    fn words(&self) -> &[AtomicU32] {
        self.page().words()
    }
}

/// Pages that were granted, the first and the others.
pub(crate) struct RingMemory {
    pub(crate) first: Grant<HeapPage>,
    pub(crate) others: Vec<Grant<HeapPage>>,
}

impl RingPages for RingMemory {
    type Word = AtomicU32;

    fn count(&self) -> usize {
        1 + self.others.len()
    }

    fn words(&self) -> &[AtomicU32] {
        self.first.words()
    }

    fn entry(&self, start: usize, count: usize) -> impl Iterator<Item = &AtomicU32> {
        (start..start + count).filter_map(|index| {
            let page = match (index / WORDS_PER_PAGE).checked_sub(1) {
                None => &self.first,
                Some(page) => self.others.get(page)?,
            };
            page.words().get(index % WORDS_PER_PAGE)
        })
    }
}

/// The front end of a ring, whose entries have `WORDS` words of 32 bits.
pub(crate) struct FrontRing<P, const WORDS: usize> {
    page: P,
    /// Requests that were written, and those of them that the back end can see.
    requests: u32,
    published: u32,
    /// Responses that were read.
    responses: u32,
}

/// Entries of a ring on so many pages: as many as fit, rounded down to a power of two.
const fn entries(pages: usize, words: usize) -> usize {
    let fit = (pages * PAGE_SIZE - ENTRIES) / (4 * words);
    1 << fit.ilog2()
}

impl<P: RingPages, const WORDS: usize> FrontRing<P, WORDS> {
    /// Entries of a ring on one page.
    #[cfg(test)]
    pub(crate) const SIZE: usize = entries(1, WORDS);

    /// Entries of the ring.
    pub(crate) fn size(&self) -> usize {
        entries(self.page.count(), WORDS)
    }

    /// Makes an empty ring of pages that nobody else uses yet.
    pub(crate) fn new(page: P) -> Self {
        for (offset, value) in
            [(REQUESTS, 0), (REQUEST_EVENT, 1), (RESPONSES, 0), (RESPONSE_EVENT, 1)]
        {
            page.word(offset).store(value, Ordering::Relaxed);
        }
        Self { page, requests: 0, published: 0, responses: 0 }
    }

    /// How many requests can be written.
    pub(crate) fn room(&self) -> usize {
        self.size() - self.outstanding() as usize
    }

    /// Requests without a response.
    pub(crate) fn outstanding(&self) -> u32 {
        self.requests.wrapping_sub(self.responses)
    }

    /// The words of an entry.
    fn entry(&self, index: u32) -> impl Iterator<Item = &P::Word> {
        self.page.entry(ENTRIES / 4 + (index as usize % self.size()) * WORDS, WORDS)
    }

    /// Writes a request, which the back end sees after [`publish`](Self::publish). Returns false if
    /// there is no room.
    #[must_use]
    pub(crate) fn push(&mut self, request: &[u32]) -> bool {
        if self.room() == 0 {
            return false;
        }
        for (word, value) in self.entry(self.requests).zip(request) {
            word.store(*value, Ordering::Relaxed);
        }
        self.requests = self.requests.wrapping_add(1);
        true
    }

    /// Shows the back end what was pushed. Returns whether it wants to be told by an event.
    #[must_use]
    pub(crate) fn publish(&mut self) -> bool {
        let new = self.requests.wrapping_sub(self.published);
        if new == 0 {
            return false;
        }
        self.published = self.requests;
        self.page.word(REQUESTS).store(self.requests, Ordering::Release);
        // The index must be there before the other side's wish is read: it does it the other way
        // round.
        P::Word::barrier();
        let event = self.page.word(REQUEST_EVENT).load(Ordering::Relaxed);
        self.requests.wrapping_sub(event) < new
    }

    /// Whether there is a response.
    pub(crate) fn has_response(&self) -> bool {
        self.page.word(RESPONSES).load(Ordering::Relaxed) != self.responses
    }

    /// The next response.
    ///
    /// # Errors
    /// If the back end says that there are more than it was asked for.
    pub(crate) fn pop<const N: usize>(&mut self) -> Result<Option<[u32; N]>, BadIndex> {
        let there = self.page.word(RESPONSES).load(Ordering::Acquire);
        match there.wrapping_sub(self.responses) {
            0 => return Ok(None),
            count if count > self.published.wrapping_sub(self.responses) => return Err(BadIndex),
            _ => {}
        }
        let mut response = [0; N];
        for (value, word) in response.iter_mut().zip(self.entry(self.responses)) {
            *value = word.load(Ordering::Relaxed);
        }
        self.responses = self.responses.wrapping_add(1);
        Ok(Some(response))
    }

    /// Asks for an event at the `count`th response from now on, `count` being at least 1. Returns
    /// whether so many are there already: then no event need come.
    #[must_use]
    pub(crate) fn wants_event_after(&self, count: u32) -> bool {
        let event = self.responses.wrapping_add(count);
        self.page.word(RESPONSE_EVENT).store(event, Ordering::Relaxed);
        P::Word::barrier();
        let there = self.page.word(RESPONSES).load(Ordering::Relaxed);
        there.wrapping_sub(self.responses) >= count
    }
}

#[cfg(all(test, not(miri)))]
mod model;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::VecDeque, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::shared_page::SharedPage;

    impl RingPages for SharedPage {
        type Word = AtomicU32;

        fn words(&self) -> &[AtomicU32] {
            Self::words(*self)
        }
    }

    /// Two words: a number, and what it is about.
    type Ring = FrontRing<SharedPage, 2>;

    /// The other end, as ring.h has it.
    struct Back {
        page: SharedPage,
        requests: u32,
        responses: u32,
    }

    impl Back {
        fn word(&self, offset: usize) -> u32 {
            self.page.word(offset).load(Ordering::SeqCst)
        }

        fn entry(&self, index: u32) -> usize {
            ENTRIES + index as usize % Ring::SIZE * 8
        }

        fn take(&mut self) -> Option<[u32; 2]> {
            if self.word(REQUESTS) == self.requests {
                return None;
            }
            let at = self.entry(self.requests);
            self.requests = self.requests.wrapping_add(1);
            Some([self.word(at), self.word(at + 4)])
        }

        /// Returns whether the front end is to be told.
        fn answer(&mut self, response: [u32; 2]) -> bool {
            let at = self.entry(self.responses);
            for (offset, word) in [at, at + 4].into_iter().zip(response) {
                self.page.word(offset).store(word, Ordering::SeqCst);
            }
            self.responses = self.responses.wrapping_add(1);
            self.page.word(RESPONSES).store(self.responses, Ordering::SeqCst);
            self.responses == self.word(RESPONSE_EVENT)
        }

        fn wants_event(&self) {
            self.page.word(REQUEST_EVENT).store(self.requests.wrapping_add(1), Ordering::SeqCst);
        }
    }

    fn ring() -> (Ring, Back) {
        let page = SharedPage::new();
        (Ring::new(page), Back { page, requests: 0, responses: 0 })
    }

    #[test]
    fn sizes_are_those_of_the_protocols() {
        // Network: transmit and receive; block.
        assert_eq!(FrontRing::<SharedPage, 3>::SIZE, 256);
        assert_eq!(FrontRing::<SharedPage, 2>::SIZE, 256);
        assert_eq!(FrontRing::<SharedPage, 28>::SIZE, 32);
        assert_eq!([1, 2, 4, 8].map(|pages| entries(pages, 28)), [32, 64, 128, 256]);
    }

    #[test]
    fn requests_go_out_and_responses_come_back() {
        let (mut ring, mut back) = ring();
        assert!(ring.push(&[1, 10]) && ring.push(&[2, 20]));
        assert_eq!(back.take(), None);
        assert!(ring.publish());
        assert!(!ring.publish());
        assert_eq!((back.take(), back.take()), (Some([1, 10]), Some([2, 20])));
        assert_eq!(ring.pop::<2>(), Ok(None));
        assert!(back.answer([2, 200]));
        assert!(!back.answer([1, 100]));
        assert!(ring.has_response());
        assert_eq!(ring.pop(), Ok(Some([2, 200])));
        assert_eq!(ring.pop(), Ok(Some([1])));
        assert!(!ring.has_response());
    }

    #[test]
    fn events_are_sent_only_when_asked_for() {
        let (mut ring, mut back) = ring();
        assert!(ring.push(&[0]) && ring.publish());
        assert!(ring.push(&[1]));
        // It was told, and has not asked again.
        assert!(!ring.publish());
        back.take();
        back.take();
        back.wants_event();
        assert!(ring.push(&[2]) && ring.publish());
        assert!(!ring.wants_event_after(2));
        assert!(!back.answer([0, 0]));
        assert!(back.answer([0, 0]));
        assert!(ring.wants_event_after(2));
    }

    #[test]
    fn a_full_ring_takes_no_more() {
        let (mut ring, mut back) = ring();
        for number in 0..Ring::SIZE as u32 {
            assert!(ring.push(&[number]));
        }
        assert!(!ring.push(&[0]));
        assert!(ring.publish());
        assert_eq!(back.take(), Some([0, 0]));
        back.answer([0, 0]);
        assert_eq!(ring.pop(), Ok(Some([0])));
        assert_eq!(ring.room(), 1);
    }

    #[test]
    fn responses_to_nothing_are_refused() {
        let (mut ring, back) = ring();
        assert!(ring.push(&[1]));
        // Written, but not shown.
        back.page.word(RESPONSES).store(1, Ordering::SeqCst);
        assert_eq!(ring.pop::<1>(), Err(BadIndex));
        assert!(ring.publish());
        assert!(ring.pop::<1>().is_ok());
        back.page.word(RESPONSES).store(0, Ordering::SeqCst);
        assert_eq!(ring.pop::<1>(), Err(BadIndex));
    }

    /// Miri takes milliseconds for each of their requests.
    const MOST_STEPS: usize = if cfg!(miri) { 20 } else { 200 };

    proptest! {
        #[test]
        fn every_request_is_answered_once(
            steps in prop::collection::vec((0..40usize, 0..40usize, 0..40usize), 0..MOST_STEPS),
        ) {
            let (mut ring, mut back) = ring();
            let (mut next, mut waiting, mut got) = (0, VecDeque::new(), Vec::new());
            let mut told = false;
            for (push, take, pop) in steps {
                for _ in 0..push {
                    if ring.push(&[next, !next]) {
                        next += 1;
                    }
                }
                told |= ring.publish();
                if told {
                    while let Some([number, about]) = back.take() {
                        prop_assert_eq!(about, !number);
                        waiting.push_back(number);
                    }
                    back.wants_event();
                    told = back.word(REQUESTS) != back.requests;
                }
                for number in waiting.drain(..take.min(waiting.len())) {
                    back.answer([number, 7]);
                }
                for _ in 0..pop {
                    if let Some([number, seven]) = ring.pop().unwrap() {
                        prop_assert_eq!(seven, 7);
                        got.push(number);
                    }
                }
            }
            // Nothing waits for an event that never comes.
            prop_assert_eq!(back.word(REQUESTS), back.requests);
            prop_assert!(got.iter().copied().eq(0..got.len() as u32));
        }

        #[test]
        fn no_index_of_the_back_end_does_harm(pushed in 0..300u32, responses: u32) {
            let (mut ring, back) = ring();
            let pushed = (0..pushed).take_while(|number| ring.push(&[*number])).count();
            let _ = ring.publish();
            back.page.word(RESPONSES).store(responses, Ordering::SeqCst);
            let mut popped = 0;
            while let Ok(Some([_])) = ring.pop() {
                popped += 1;
            }
            prop_assert!(popped <= pushed);
            let _ = ring.wants_event_after(1);
        }
    }
}
