//! The requests that the back end has, or had when it went away.

use alloc::vec::Vec;

use mayfly_device::{Completion, DeviceError};

use super::{
    Connection, SLOTS,
    pending::Pending,
    wire::{Response, Status, WORDS},
};
use crate::{bus::GrantedRing, byte_ring::BadIndex};

/// Requests under way, by the number that the back end knows.
pub(super) struct Requests {
    slots: Vec<Option<Slot>>,
    free: Vec<u16>,
    /// Requests so far.
    count: u64,
}

struct Slot {
    pending: Pending,
    /// How many there were before it.
    order: u64,
}

impl Requests {
    pub(super) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| None).collect();
        Self { slots, free: (0..SLOTS as u16).collect(), count: 0 }
    }

    /// Whether one more can be pushed.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Queues a request. There is room.
    pub(super) fn push(&mut self, pending: Pending, ring: &mut GrantedRing<WORDS>) {
        let Some(slot) = self.free.pop() else { return };
        // There are as many slots as entries in the ring.
        let fits = ring.push(&pending.words(slot));
        debug_assert!(fits);
        if let Some(place) = self.slots.get_mut(usize::from(slot)) {
            *place = Some(Slot { pending, order: self.count });
        }
        self.count += 1;
    }

    /// The next answer of the back end.
    ///
    /// # Errors
    /// If it answers what it was not asked.
    pub(super) fn take_answer(
        &mut self,
        ring: &mut GrantedRing<WORDS>,
    ) -> Result<Option<Completion>, BadIndex> {
        let Some(words) = ring.pop()? else { return Ok(None) };
        let Response { id, status } = Response::read(words);
        let number = u16::try_from(id).map_err(|_| BadIndex)?;
        let slot = self.slots.get_mut(usize::from(number)).and_then(Option::take);
        let slot = slot.ok_or(BadIndex)?;
        self.free.push(number);
        Ok(Some(slot.pending.complete(status)))
    }

    /// Ends the back end's access to the data, as it went away.
    pub(super) fn release(&mut self) {
        for slot in self.slots.iter_mut().flatten() {
            slot.pending.release();
        }
    }

    /// Queues all of them again, in their order, for a back end that has come back. What it cannot be
    /// given is answered.
    pub(super) fn renew(
        &mut self,
        connection: &mut Connection,
        mut answer: impl FnMut(Completion),
    ) {
        let mut order: heapless::Vec<(u64, u16), SLOTS> = (0_u16..)
            .zip(&self.slots)
            .filter_map(|(number, slot)| Some((slot.as_ref()?.order, number)))
            .collect();
        order.sort_unstable();
        for (_, number) in order {
            let Some(place) = self.slots.get_mut(usize::from(number)) else { continue };
            let Some(mut slot) = place.take() else { continue };
            if slot.pending.renew(connection) {
                // As in `push`: the ring is empty.
                let fits = connection.ring.push(&slot.pending.words(number));
                debug_assert!(fits);
                *place = Some(slot);
            } else {
                self.free.push(number);
                let failed = slot.pending.complete(Status::Error);
                answer(Completion { result: Err(DeviceError::OutOfMemory), ..failed });
            }
        }
    }
}
