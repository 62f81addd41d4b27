//! The receive ring: empty pages out, frames in.
//!
//! The back end copies a frame to a page that it was granted, and the frame goes up to the stack on
//! that page. Pages are whole, so that nothing else is on them while the back end writes.

use alloc::{rc::Rc, vec::Vec};

use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{FrameBuf, FramePool, Received};

use super::{
    GrantedRing,
    wire::{RECEIVE_WORDS, ReceiveResponse, receive_request},
};
use crate::{
    byte_ring::BadIndex,
    grants::{Access, DomainId, Grant, Grantable, Reservation},
};

/// Most pages in the ring.
pub(super) const SLOTS: usize = 64;
/// Pages in the ring at the start. Doubles when a burst was longer.
const FIRST: usize = 16;
/// Pages that stay in the ring however short memory is.
const LEAST: usize = 4;
/// Shortest frame: an Ethernet header.
const MIN_FRAME: usize = 14;

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
    slots: Vec<Option<Grant<Incoming>>>,
    free: Vec<u16>,
    wanted: usize,
    /// Frames since the ring was last found empty.
    burst: usize,
    /// Frames that came with an error, or made no sense.
    pub(super) dropped: u64,
}

impl Receiver {
    pub(super) fn new(
        ring: GrantedRing<RECEIVE_WORDS>,
        domain: DomainId,
        entries: Rc<Reservation>,
        pool: Rc<dyn FramePool>,
    ) -> Self {
        let slots = (0..SLOTS).map(|_| None).collect();
        let free = (0..SLOTS as u16).collect();
        let (wanted, burst, dropped) = (FIRST, 0, 0);
        let mut receiver =
            Self { ring, domain, entries, pool, slots, free, wanted, burst, dropped };
        receiver.refill();
        receiver
    }

    /// Pages in the ring.
    fn held(&self) -> usize {
        SLOTS - self.free.len()
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

    /// Puts a page in the ring. Returns whether that worked.
    fn post(&mut self, page: FrameBuf) -> bool {
        debug_assert_eq!(page.whole().len(), PAGE_SIZE);
        let Some(id) = self.free.pop() else { return false };
        let granted = self.entries.grant(self.domain, Incoming(page), Access::ReadWrite);
        let slot = self.slots.get_mut(usize::from(id));
        let (Ok(grant), Some(slot)) = (granted, slot) else {
            self.free.push(id);
            return false;
        };
        // There are fewer slots than entries in the ring.
        let fits = self.ring.push(&receive_request(id, grant.reference().0));
        debug_assert!(fits);
        *slot = Some(grant);
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
            let response = ReceiveResponse::read(words);
            let slot = self.slots.get_mut(usize::from(response.id)).and_then(Option::take);
            let grant = slot.ok_or(BadIndex)?;
            self.free.push(response.id);
            // A page that it still has after its answer stays with it.
            let page = grant.end().ok();
            let received = page.and_then(|Incoming(page)| cut(page, &response));
            self.dropped += u64::from(received.is_none());
            self.refill();
            match received {
                Some(received) if self.held() >= LEAST => return Ok(Some(received)),
                // Its page is the next to be posted.
                Some(received) => drop(received),
                None => {}
            }
        }
        Ok(None)
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

/// The frame that the response says is on the page. `None` if there can be none.
fn cut(mut page: FrameBuf, response: &ReceiveResponse) -> Option<Received> {
    let size = usize::try_from(response.status).ok().filter(|size| *size >= MIN_FRAME)?;
    let start = usize::from(response.offset);
    if !response.is_whole() || !page.set_range(start, start + size) {
        return None;
    }
    Some(Received { frame: page, checked: response.is_checked() })
}
