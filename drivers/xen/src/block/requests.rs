//! The requests of the kernel that are not answered yet.

use alloc::{
    collections::{TryReserveError, VecDeque},
    vec::Vec,
};

use mayfly_device::{Completion, DeviceError};

use super::{MAX_PAGES, connection::Connection, pending::Pending, wire::Status};
use crate::byte_ring::BadIndex;

/// Most requests that are under way at a time, as many as the largest ring has entries.
const MAX: usize = 256;

/// Pages that the back end may keep when it has answered: those of a request.
const MOST_KEPT: usize = MAX_PAGES;

/// Requests that the back end has, and those that it had when it went away and gets again.
#[derive(Default)]
pub(super) struct Requests {
    slots: Vec<Option<Pending>>,
    /// Places that are free; there is room for all.
    free: Vec<u16>,
    /// Those that the back end does not have, in their order. There is room for all.
    waiting: VecDeque<u16>,
    /// Requests so far.
    count: u64,
    /// Pages that the back end still used when it had answered what they were for, since it has
    /// connected.
    kept: usize,
}

impl Requests {
    /// How many requests there is room for.
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    /// Queues a request.
    ///
    /// # Errors
    /// The request, if there is no room.
    #[allow(clippy::result_large_err, reason = "it is given back, and smaller on ARMv7")]
    pub(super) fn submit(
        &mut self,
        mut pending: Pending,
        connection: &mut Connection,
    ) -> Result<(), Pending> {
        // Those that wait were first.
        if !self.waiting.is_empty() || self.make_free().is_err() {
            return Err(pending);
        }
        let Some(place) = self.free.pop() else { return Err(pending) };
        if !connection.send(place, &mut pending) {
            self.free.push(place);
            return Err(pending);
        }
        pending.order = self.count;
        self.count += 1;
        if let Some(slot) = self.slots.get_mut(usize::from(place)) {
            *slot = Some(pending);
        }
        Ok(())
    }

    /// Adds a place if none is free and there may be more.
    fn make_free(&mut self) -> Result<(), TryReserveError> {
        let count = self.slots.len();
        if self.free.is_empty() && count < MAX {
            self.slots.try_reserve(1)?;
            self.free.try_reserve(count + 1)?;
            self.waiting.try_reserve(count + 1)?;
            self.slots.push(None);
            self.free.push(count as u16);
        }
        Ok(())
    }

    /// The next request that the back end has answered all parts of.
    ///
    /// # Errors
    /// If it answers what it was not asked, or keeps much of what it has answered.
    pub(super) fn take_answer(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Completion>, BadIndex> {
        while let Some((place, status)) = connection.take_answer()? {
            let slot = self.slots.get_mut(usize::from(place)).and_then(Option::as_mut);
            let pending = slot.ok_or(BadIndex)?;
            if !pending.take_answer(status) {
                continue;
            }
            pending.take_data();
            connection.take_back(pending);
            let is_flush = pending.is_flush();
            let status = match pending.status() {
                // It may say at any time that it cannot, after all. There is another way to flush,
                // or else no cache.
                Status::Unsupported if is_flush && connection.offers.flush().is_some() => {
                    self.waiting.push_back(place);
                    continue;
                }
                Status::Unsupported if is_flush => {
                    log::warn!("a disk does not flush, though it has said that it would");
                    Status::Okay
                }
                status => status,
            };
            let Some(pending) = self.take(place) else { return Ok(None) };
            let pages = pending.pages();
            let completion = pending.complete(status.result());
            if completion.buffer.is_none() {
                self.kept += pages;
            }
            return if self.kept > MOST_KEPT { Err(BadIndex) } else { Ok(Some(completion)) };
        }
        Ok(None)
    }

    fn take(&mut self, place: u16) -> Option<Pending> {
        let pending = self.slots.get_mut(usize::from(place)).and_then(Option::take);
        if pending.is_some() {
            self.free.push(place);
        }
        pending
    }

    /// Ends the back end's access to the data, as it went away and has let go of it.
    pub(super) fn release(&mut self) {
        self.slots.iter_mut().flatten().for_each(Pending::release);
    }

    /// All of them are for a back end that has come back, in their order.
    pub(super) fn renew(&mut self) {
        self.release();
        self.kept = 0;
        self.waiting.clear();
        let places =
            (0_u16..).zip(&self.slots).filter_map(|(place, slot)| slot.as_ref().map(|_| place));
        self.waiting.extend(places);
        let order = |place: &u16| {
            let slot = self.slots.get(usize::from(*place));
            slot.and_then(Option::as_ref).map(|pending| pending.order)
        };
        self.waiting.make_contiguous().sort_unstable_by_key(order);
    }

    /// Whether [`pump`](Self::pump) has something to do.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Queues what waits, as far as there is room. Answers what there will never be room for, and
    /// what need not be done.
    pub(super) fn pump(&mut self, connection: &mut Connection, mut answer: impl FnMut(Completion)) {
        while let Some(place) = self.waiting.front().copied() {
            let slot = self.slots.get_mut(usize::from(place)).and_then(Option::as_mut);
            let result = match slot {
                Some(pending) if pending.is_flush() && connection.offers.flush().is_none() => {
                    Some(Ok(()))
                }
                Some(pending) => match connection.send(place, pending) {
                    true => None,
                    false if connection.is_idle() => Some(Err(DeviceError::OutOfMemory)),
                    false => return,
                },
                None => None,
            };
            self.waiting.pop_front();
            if let Some(result) = result
                && let Some(pending) = self.take(place)
            {
                answer(pending.complete(result));
            }
        }
    }
}
