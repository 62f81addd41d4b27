//! What a disk uses while its back end is there: its queues, and memory for what goes through them.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::{
    pending::Pending,
    queue::{Answer, Part, Queue},
    wire::{self, MAX_SEGMENTS, Operation, Request, Status},
};
use crate::{
    byte_ring::BadIndex,
    grants::{Access, DomainId, Reservation},
};

/// What a back end can do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offers {
    /// Most pages of data in a part of a request: whole sectors, and at most [`MAX_SEGMENTS`] only if
    /// there are no lists of descriptors.
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
    /// At least one.
    queues: Vec<Queue>,
    /// The queue whose answers are to be looked at next.
    turn: usize,
    pub(super) domain: DomainId,
    pub(super) entries: Reservation,
    pub(super) offers: Offers,
}

impl Connection {
    /// One whose back end can do nothing yet.
    pub(super) fn new(queues: Vec<Queue>, domain: DomainId, entries: Reservation) -> Self {
        Self { queues, turn: 0, domain, entries, offers: Offers::default() }
    }

    /// Whether there are pages that can stay granted.
    pub(super) fn can_persist(&self) -> bool {
        self.queues.iter().all(|queue| queue.pool.is_some())
    }

    /// The back end keeps no pages mapped.
    pub(super) fn drop_pools(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.pool = None);
    }

    /// Takes pages back that the back end does not use for this request any more.
    pub(super) fn take_back(&mut self, pending: &mut Pending) {
        let queue = self.queues.get_mut(pending.queue);
        pending.give_back(queue.and_then(|queue| queue.pool.as_mut()));
    }

    /// Parts of requests that can be under way, in all queues and in one.
    pub(super) fn slots(&self) -> (usize, usize) {
        let slots = self.queues.iter().map(Queue::slots);
        (slots.clone().sum(), slots.max().unwrap_or(0))
    }

    /// Tells the back end of what was queued, if it wants to know.
    pub(super) fn tell(&mut self) {
        self.queues.iter_mut().for_each(Queue::tell);
    }

    /// Asks for an event at the next answer. Returns whether there is one already.
    pub(super) fn wants_event(&self) -> bool {
        // Each of them has to be asked.
        self.queues.iter().filter(|queue| queue.wants_event()).count() > 0
    }

    /// Whether the back end has nothing to answer.
    pub(super) fn is_idle(&self) -> bool {
        self.queues.iter().all(Queue::is_idle)
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
        // The one with the most room.
        let queues = self.queues.iter().map(Queue::room).enumerate();
        let Some((index, room)) = queues.rev().max_by_key(|(_, room)| *room) else { return false };
        pending.queue = index;
        if parts > room || !self.grant(pending, described) {
            self.take_back(pending);
            return false;
        }
        for part in 0..parts {
            self.push(place, pending, part * most);
        }
        pending.begin(parts);
        true
    }

    /// Grants what the request needs: its data, and pages for so many lists of descriptors.
    fn grant(&mut self, pending: &mut Pending, described: usize) -> bool {
        let access = if self.offers.persistent { Access::ReadWrite } else { Access::ReadOnly };
        let (entries, domain) = (&self.entries, self.domain);
        let Some(queue) = self.queues.get_mut(pending.queue) else { return false };
        queue.prepare(described, entries, domain, access)
            && match (self.offers.persistent, &mut queue.pool) {
                (true, Some(pool)) => pending.stage(pool, entries, domain).is_some(),
                _ => pending.grant(entries, domain).is_ok(),
            }
    }

    /// Queues the part of a request that begins with this page of its data.
    fn push(&mut self, place: u16, pending: &Pending, first: usize) {
        let Some(queue) = self.queues.get_mut(pending.queue) else { return };
        let Some(number) = queue.take_number() else { return };
        let operation = match pending.asked.operation {
            Operation::Flush => self.offers.flush().unwrap_or(Operation::Flush),
            operation => operation,
        };
        let sector = pending.asked.first + (first * wire::UNITS_PER_PAGE) as u64;
        let request = Request { operation, id: number, sector };
        let count = pending.pages().saturating_sub(first).min(self.offers.pages);
        let segments = pending.segments(first).take(count);
        let descriptors = if count > MAX_SEGMENTS { queue.take_spare() } else { None };
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
        queue.push(number, &words, Part { place, operation, descriptors });
    }

    /// The next answer to a part of a request, of each queue in turn: where that is, and the answer.
    ///
    /// # Errors
    /// If the back end answers what it was not asked.
    pub(super) fn take_answer(&mut self) -> Result<Option<(u16, Status)>, BadIndex> {
        let count = self.queues.len();
        for _ in 0..count {
            let queue = self.queues.get_mut(self.turn);
            self.turn = (self.turn + 1) % count;
            let Some(answer) = queue.map_or(Ok(None), Queue::take_answer)? else { continue };
            let Answer { place, operation, status } = answer;
            if status == Status::Unsupported {
                self.offers.withdraw(operation);
            }
            return Ok(Some((place, status)));
        }
        Ok(None)
    }
}
