//! The ring, and what is under way through it.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::{
    pending::Pending,
    pool::Pool,
    wire::{self, MAX_SEGMENTS, Operation, Request, Response, Status, WORDS},
};
use crate::{
    bus::LargeRing,
    byte_ring::BadIndex,
    event_channel::EventChannel,
    grants::{Access, DomainId, Grant, Reservation},
    shared_page::HeapPage,
};

/// What a back end can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offers {
    /// Most pages of data in a part of a request, at least [`MAX_SEGMENTS`].
    pub(super) pages: usize,
    pub(super) flush: bool,
    /// Flushes, too.
    pub(super) barrier: bool,
    pub(super) discard: bool,
    /// Keeps pages mapped; all that it is granted must stay granted, and be writable.
    pub(super) persistent: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            pages: MAX_SEGMENTS,
            flush: false,
            barrier: false,
            discard: false,
            persistent: false,
        }
    }
}

impl Offers {
    /// What makes written data durable. `None` if nothing has to.
    pub(super) fn flush(&self) -> Option<Operation> {
        match self {
            Self { flush: true, .. } => Some(Operation::Flush),
            Self { barrier: true, .. } => Some(Operation::Barrier),
            _ => None,
        }
    }

    /// The back end cannot do what it has offered.
    fn withdraw(&mut self, operation: Operation) {
        match operation {
            Operation::Flush => self.flush = false,
            Operation::Barrier => self.barrier = false,
            _ => {}
        }
    }
}

/// What a disk uses while its back end is there.
pub(super) struct Connection {
    ring: LargeRing<WORDS>,
    pub(super) domain: DomainId,
    pub(super) entries: Reservation,
    channel: EventChannel,
    pub(super) offers: Offers,
    /// Parts of requests, by the number that the back end knows. There are as many as the ring has
    /// entries.
    parts: Vec<Option<Part>>,
    free: Vec<u16>,
    /// Pages for what does not fit into the ring's entry, granted once, that no part uses.
    spare: Vec<Grant<HeapPage>>,
    /// For data, if the back end keeps pages mapped.
    pub(super) pool: Option<Pool>,
}

/// A part of a request that the back end has.
struct Part {
    /// Where the request is.
    place: u16,
    operation: Operation,
    /// What is told of its data, if that does not fit into the ring's entry.
    descriptors: Option<Grant<HeapPage>>,
}

impl Connection {
    /// One whose back end can do nothing yet.
    pub(super) fn new(
        ring: LargeRing<WORDS>,
        domain: DomainId,
        entries: Reservation,
        channel: EventChannel,
        pool: Option<Pool>,
    ) -> Self {
        let slots = ring.size();
        Self {
            ring,
            domain,
            entries,
            channel,
            offers: Offers::default(),
            parts: (0..slots).map(|_| None).collect(),
            free: (0..slots as u16).collect(),
            spare: Vec::with_capacity(slots),
            pool,
        }
    }

    /// Parts of requests that can be under way.
    pub(super) fn slots(&self) -> usize {
        self.parts.len()
    }

    /// Tells the back end of what was queued, if it wants to know.
    pub(super) fn tell(&mut self) {
        if self.ring.publish() {
            self.channel.notify();
        }
    }

    /// Asks for an event at the next answer. Returns whether there is one already.
    pub(super) fn wants_event(&self) -> bool {
        self.ring.wants_event_after(1)
    }

    /// Whether the back end has nothing to answer.
    pub(super) fn is_idle(&self) -> bool {
        self.free.len() == self.parts.len()
    }

    /// Queues the request at `place`, all of it or nothing. Returns whether there was room.
    #[must_use]
    pub(super) fn send(&mut self, place: u16, pending: &mut Pending) -> bool {
        let pages = pending.pages();
        let most = self.offers.pages;
        let parts = pages.div_ceil(most).max(1);
        // All but the last are full.
        let last = pages - (parts - 1) * most;
        let described =
            usize::from(most > MAX_SEGMENTS) * (parts - 1) + usize::from(last > MAX_SEGMENTS);
        if parts > self.free.len() || !self.prepare(described) || pending.grant(self).is_err() {
            pending.give_back(&mut self.pool);
            return false;
        }
        for part in 0..parts {
            self.push(place, pending, part * most);
        }
        pending.begin(parts);
        true
    }

    /// Makes sure that so many pages for descriptors are there.
    fn prepare(&mut self, count: usize) -> bool {
        let access = if self.offers.persistent { Access::ReadWrite } else { Access::ReadOnly };
        while self.spare.len() < count {
            let Some(page) = HeapPage::zeroed() else { return false };
            let Ok(page) = self.entries.grant(self.domain, page, access) else {
                return false;
            };
            self.spare.push(page);
        }
        true
    }

    /// Queues the part of a request that begins with this page of its data.
    fn push(&mut self, place: u16, pending: &Pending, first: usize) {
        let Some(number) = self.free.pop() else { return };
        let operation = match pending.asked.operation {
            Operation::Flush => self.offers.flush().unwrap_or(Operation::Flush),
            operation => operation,
        };
        let sector = pending.asked.first + (first * wire::UNITS_PER_PAGE) as u64;
        let request = Request { operation, id: number, sector };
        let count = pending.pages().saturating_sub(first).min(self.offers.pages);
        let segments = pending.segments(first).take(count);
        let descriptors = if count > MAX_SEGMENTS { self.spare.pop() } else { None };
        let words = match &descriptors {
            _ if operation == Operation::Discard => request.discard(pending.asked.count),
            None => request.direct(segments),
            Some(page) => {
                let words = page.page().words().chunks_exact(wire::SEGMENT_WORDS);
                for (words, segment) in words.zip(segments) {
                    for (word, value) in words.iter().zip(segment.words()) {
                        word.store(value, Ordering::Relaxed);
                    }
                }
                request.indirect(count, page.reference().0)
            }
        };
        // There are as many numbers as entries in the ring.
        let fits = self.ring.push(&words);
        debug_assert!(fits);
        if let Some(part) = self.parts.get_mut(usize::from(number)) {
            *part = Some(Part { place, operation, descriptors });
        }
    }

    /// The next answer to a part of a request: where that is, and the answer.
    ///
    /// # Errors
    /// If the back end answers what it was not asked.
    pub(super) fn take_answer(&mut self) -> Result<Option<(u16, Status)>, BadIndex> {
        let Some(words) = self.ring.pop()? else { return Ok(None) };
        let Response { id, status } = Response::read(words);
        let number = u16::try_from(id).map_err(|_| BadIndex)?;
        let part = self.parts.get_mut(usize::from(number)).and_then(Option::take);
        let Part { place, operation, descriptors } = part.ok_or(BadIndex)?;
        self.free.push(number);
        self.spare.extend(descriptors);
        if status == Status::Unsupported {
            self.offers.withdraw(operation);
        }
        Ok(Some((place, status)))
    }
}
