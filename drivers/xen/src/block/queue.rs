//! A ring, its event channel, and the parts of requests that the back end has through it.
//!
//! A disk has one such queue, or several if it was asked for several and its back end offers them.
//! Each is worked on by a thread of its own in the back end's domain; all wake the same task here.
//! Where a back end keeps pages mapped, it does so for each queue by itself, so that each has its own
//! pages, too.

use alloc::vec::Vec;

use super::{
    pool::Pool,
    wire::{Operation, Response, Status, WORDS},
};
use crate::{
    bus::LargeRing,
    byte_ring::BadIndex,
    event_channel::EventChannel,
    grants::{Access, DomainId, Grant, Reservation},
    shared_page::HeapPage,
};

/// A ring and what is under way through it.
pub(super) struct Queue {
    ring: LargeRing<WORDS>,
    channel: EventChannel,
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
pub(super) struct Part {
    /// Where the request is.
    pub(super) place: u16,
    pub(super) operation: Operation,
    /// What is told of its data, if that does not fit into the ring's entry.
    pub(super) descriptors: Option<Grant<HeapPage>>,
}

/// An answer to a part.
pub(super) struct Answer {
    /// Where the request is.
    pub(super) place: u16,
    pub(super) operation: Operation,
    pub(super) status: Status,
}

impl Queue {
    /// One with nothing under way.
    pub(super) fn new(ring: LargeRing<WORDS>, channel: EventChannel, pool: Option<Pool>) -> Self {
        let slots = ring.size();
        let parts = (0..slots).map(|_| None).collect();
        let (free, spare) = ((0..slots as u16).collect(), Vec::with_capacity(slots));
        Self { ring, channel, parts, free, spare, pool }
    }

    /// Parts that can be under way.
    pub(super) fn slots(&self) -> usize {
        self.parts.len()
    }

    /// Parts that there is room for.
    pub(super) fn room(&self) -> usize {
        self.free.len()
    }

    /// Whether the back end has nothing to answer.
    pub(super) fn is_idle(&self) -> bool {
        self.room() == self.slots()
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

    /// Makes sure that so many pages for descriptors are there.
    pub(super) fn prepare(
        &mut self,
        count: usize,
        entries: &Reservation,
        domain: DomainId,
        access: Access,
    ) -> bool {
        while self.spare.len() < count {
            let Some(page) = HeapPage::zeroed() else { return false };
            let Ok(page) = entries.grant(domain, page, access) else { return false };
            self.spare.push(page);
        }
        true
    }

    /// One of them.
    pub(super) fn take_spare(&mut self) -> Option<Grant<HeapPage>> {
        self.spare.pop()
    }

    /// A number for a part that is about to be pushed, if there is room.
    pub(super) fn take_number(&mut self) -> Option<u16> {
        self.free.pop()
    }

    /// Queues the request for a part by the number that was taken for it.
    pub(super) fn push(&mut self, number: u16, request: &[u32], part: Part) {
        // There are as many numbers as entries in the ring.
        let fits = self.ring.push(request);
        debug_assert!(fits);
        if let Some(slot) = self.parts.get_mut(usize::from(number)) {
            *slot = Some(part);
        }
    }

    /// The next answer.
    ///
    /// # Errors
    /// If the back end answers what it was not asked.
    pub(super) fn take_answer(&mut self) -> Result<Option<Answer>, BadIndex> {
        let Some(words) = self.ring.pop()? else { return Ok(None) };
        let Response { id, status } = Response::read(words);
        let number = u16::try_from(id).map_err(|_| BadIndex)?;
        let part = self.parts.get_mut(usize::from(number)).and_then(Option::take);
        let Part { place, operation, descriptors } = part.ok_or(BadIndex)?;
        self.free.push(number);
        self.spare.extend(descriptors);
        Ok(Some(Answer { place, operation, status }))
    }
}
