//! The receive ring: empty pages out, frames in.
//!
//! The back end copies a frame to a page that it was granted, and the frame goes up to the stack on
//! that page; one that takes several is put together (`chain`). Pages are whole, so that nothing
//! else is on them while the back end writes.
//!
//! Every netback answers requests in their order, and in the same entries. What is said about a frame
//! takes the entry of a request, too, whose number is nowhere to be read then: so a request has the
//! number of its entry, as far as there are as many slots.

use alloc::{rc::Rc, vec::Vec};

use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{FrameBuf, FramePool, Received};

use super::{
    GrantedRing,
    chain::{Assembler, Outcome},
    wire::{RECEIVE_WORDS, ReceiveResponse, receive_request},
};
use crate::{
    byte_ring::BadIndex,
    grants::{Access, DomainId, Grant, Grantable, Reservation},
};

/// Most pages in the ring; a power of two.
pub(super) const SLOTS: usize = 128;
/// Pages in the ring at the start, so that a long packet has room when there was one. Doubles when a
/// burst was longer.
const FIRST: usize = 32;
/// Pages that stay in the ring however short memory is.
const LEAST: usize = 4;
/// The same if long TCP packets may come: netback keeps one back, and all behind it, until there are
/// pages for all of it, of which there can be 17, and one for what is said about it.
const LEAST_FOR_LONG: usize = 18;

/// A page that the back end writes to.
struct Incoming(FrameBuf);

// SAFETY: `Receiver::post` only takes buffers that are whole pages; a buffer stays where it is until
// it is dropped, its bytes are not looked at before access has ended, and any bytes are a frame.
unsafe impl Grantable for Incoming {
    fn frame(&self) -> Option<u64> {
        Some(mmu::virt_to_phys(self.0.whole().as_ptr())?.0 / PAGE_SIZE as u64)
    }
}

/// The receive ring and its pages.
pub(super) struct Receiver {
    ring: GrantedRing<RECEIVE_WORDS>,
    domain: DomainId,
    entries: Rc<Reservation>,
    /// Buffers of a page each.
    pool: Rc<dyn FramePool>,
    /// The pages of the requests that were not answered, each at the number of the request.
    slots: Vec<Option<Grant<Incoming>>>,
    /// How many requests there were, and responses.
    posted: usize,
    taken: usize,
    assembler: Assembler,
    /// How many pages the ring holds at least, and is to hold.
    least: usize,
    wanted: usize,
    /// Responses since the ring was last found empty.
    burst: usize,
}

impl Receiver {
    pub(super) fn new(
        ring: GrantedRing<RECEIVE_WORDS>,
        domain: DomainId,
        entries: Rc<Reservation>,
        pool: Rc<dyn FramePool>,
    ) -> Self {
        let slots = (0..SLOTS).map(|_| None).collect();
        let (posted, taken, least, burst) = (0, 0, LEAST, 0);
        let (assembler, wanted) = (Assembler::new(), FIRST);
        let mut receiver = Self {
            ring,
            domain,
            entries,
            pool,
            slots,
            posted,
            taken,
            assembler,
            least,
            wanted,
            burst,
        };
        receiver.refill();
        receiver
    }

    /// Whether there is memory for long TCP packets. If so, it is kept.
    pub(super) fn takes_long(&mut self) -> bool {
        let takes_long = self.held() >= LEAST_FOR_LONG;
        if takes_long {
            self.least = LEAST_FOR_LONG;
        }
        takes_long
    }

    /// Pages in the ring.
    fn held(&self) -> usize {
        self.posted.wrapping_sub(self.taken)
    }

    /// Whether there is something to receive.
    pub(super) fn has_frame(&self) -> bool {
        self.ring.has_response()
    }

    /// Puts pages in the ring up to what it is to hold, or what there is.
    pub(super) fn refill(&mut self) {
        while self.held() < self.wanted
            && let Some(page) = FrameBuf::allocate(&self.pool, 0)
            && self.post(page)
        {}
    }

    /// Puts a page in the ring, in which there are fewer than slots. Returns whether that worked.
    fn post(&mut self, page: FrameBuf) -> bool {
        debug_assert_eq!(page.whole().len(), PAGE_SIZE);
        let id = self.posted % SLOTS;
        let granted = self.entries.grant(self.domain, Incoming(page), Access::ReadWrite);
        let slot = self.slots.get_mut(id);
        let (Ok(grant), Some(slot)) = (granted, slot) else { return false };
        // There are fewer slots than entries in the ring.
        let fits = self.ring.push(&receive_request(id as u16, grant.reference().0));
        debug_assert!(fits);
        *slot = Some(grant);
        self.posted = self.posted.wrapping_add(1);
        true
    }

    /// Shows the back end the pages that were added. Returns whether it wants an event.
    pub(super) fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// The next frame. Malformed ones are dropped.
    ///
    /// # Errors
    /// If the back end answers what it was not asked.
    pub(super) fn next(&mut self) -> Result<Option<Received>, BadIndex> {
        while let Some(words) = self.ring.pop()? {
            self.burst += 1;
            let page = self.take(words)?;
            let outcome = self.assembler.take(words, page);
            self.refill();
            match outcome {
                Outcome::Frame(received) if self.held() >= self.least => return Ok(Some(received)),
                // Its page is the next to be posted.
                Outcome::Frame(received) => drop(received),
                // A dropped one came with an error, or makes no sense.
                Outcome::Dropped | Outcome::More => {}
            }
        }
        Ok(None)
    }

    /// Takes the page of the request that these words answer. `None` for one that the back end still
    /// has after its answer: then it stays with it.
    fn take(&mut self, words: [u32; RECEIVE_WORDS]) -> Result<Option<FrameBuf>, BadIndex> {
        let id = self.taken % SLOTS;
        if self.assembler.expects_page() && usize::from(ReceiveResponse::read(words).id) != id {
            return Err(BadIndex);
        }
        let grant = self.slots.get_mut(id).and_then(Option::take).ok_or(BadIndex)?;
        self.taken = self.taken.wrapping_add(1);
        Ok(grant.end().ok().map(|Incoming(page)| page))
    }

    /// The ring was found empty. It gets more pages after a burst that was longer than it.
    pub(super) fn rest(&mut self) {
        if self.burst >= self.wanted && self.wanted < SLOTS {
            self.wanted = (2 * self.wanted).min(SLOTS);
        }
        self.burst = 0;
        self.refill();
    }

    /// Asks for an event at the next frame. Returns whether there is one already.
    pub(super) fn wants_event(&self) -> bool {
        self.ring.wants_event_after(1)
    }
}
