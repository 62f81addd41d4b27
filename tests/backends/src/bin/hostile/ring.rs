//! The back end of a ring (xen/include/public/io/ring.h).

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use backends::xen::{PAGE, Page};

/// Offset of the index of responses.
pub const RESPONSES: usize = 8;
/// Those of the other indices, and of the entries.
const REQUESTS: usize = 0;
const REQUEST_EVENT: usize = 4;
const ENTRIES: usize = 64;

/// A ring on one page, with entries of so many words.
pub struct Ring<const WORDS: usize> {
    page: Page,
    requests: u32,
    responses: u32,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// Maps the ring that a guest has granted.
    pub fn map(domain: u16, reference: u32) -> io::Result<Self> {
        Ok(Self { page: Page::map(domain, reference)?, requests: 0, responses: 0 })
    }

    fn entry(&self, index: u32) -> impl Iterator<Item = &AtomicU32> {
        let size = 1 << ((PAGE - ENTRIES) / (4 * WORDS)).ilog2();
        self.page.words().iter().skip(ENTRIES / 4 + index as usize % size * WORDS).take(WORDS)
    }

    /// Its page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// The word at an offset.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        self.page.word(offset)
    }

    /// The next request.
    pub fn take(&mut self) -> Option<[u32; WORDS]> {
        if self.word(REQUESTS).load(SeqCst) == self.requests {
            self.word(REQUEST_EVENT).store(self.requests.wrapping_add(1), SeqCst);
            return None;
        }
        let mut request = [0; WORDS];
        for (value, word) in request.iter_mut().zip(self.entry(self.requests)) {
            *value = word.load(SeqCst);
        }
        self.requests = self.requests.wrapping_add(1);
        Some(request)
    }

    /// Writes a response.
    pub fn answer(&mut self, response: &[u32]) {
        for (word, value) in self.entry(self.responses).zip(response) {
            word.store(*value, SeqCst);
        }
        self.responses = self.responses.wrapping_add(1);
        self.word(RESPONSES).store(self.responses, SeqCst);
    }

    /// Responses so far.
    pub fn responses(&self) -> u32 {
        self.responses
    }
}
