//! When each connection wants to be looked at again.
//!
//! A binary heap with at most one entry for each slot of the connection table. Moving a deadline
//! later is what happens all the time (every segment puts the retransmission off), so it is not
//! done at all: the entry comes up early once, and is put back then.

use alloc::vec::Vec;

use smoltcp::time::Instant;

const NONE: u32 = u32::MAX;

/// See the module.
#[derive(Default)]
pub(super) struct Deadlines {
    heap: Vec<(Instant, u32)>,
    /// Where in the heap the entry of each slot is.
    positions: Vec<u32>,
}

impl Deadlines {
    /// No deadlines.
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), positions: Vec::new() }
    }

    /// Makes sure that slot numbers below `slots` can have a deadline. Returns whether there was
    /// memory for that.
    pub(super) fn reserve(&mut self, slots: usize) -> bool {
        let more = slots.saturating_sub(self.positions.len());
        if self.positions.try_reserve(more).is_err()
            || self.heap.try_reserve(slots.saturating_sub(self.heap.len())).is_err()
        {
            return false;
        }
        self.positions.resize(self.positions.len() + more, NONE);
        true
    }

    /// The earliest deadline, or an earlier moment.
    pub(super) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.0)
    }

    /// Asks that slot `slot` come up at `deadline` at the latest.
    pub(super) fn at_latest(&mut self, slot: u32, deadline: Instant) {
        let Some(&position) = self.positions.get(slot as usize) else { return };
        if position == NONE {
            self.heap.push((deadline, slot));
            self.rise(self.heap.len() - 1);
        } else if let Some(entry) = self.heap.get_mut(position as usize)
            && deadline < entry.0
        {
            entry.0 = deadline;
            self.rise(position as usize);
        }
    }

    /// Takes a slot out whose deadline is `now` or earlier.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<u32> {
        let &(deadline, slot) = self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.remove(slot);
        Some(slot)
    }

    /// Forgets the deadline of a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(position) = self.positions.get_mut(slot as usize) else { return };
        let at = core::mem::replace(position, NONE) as usize;
        if at >= self.heap.len() {
            return;
        }
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.note(at);
            self.sink(at);
            self.rise(at);
        }
    }

    /// Returns the memory when no deadline is left.
    pub(super) fn give_back(&mut self) {
        if self.heap.is_empty() {
            *self = Self::new();
        }
    }

    fn key(&self, at: usize) -> Option<Instant> {
        self.heap.get(at).map(|entry| entry.0)
    }

    fn note(&mut self, at: usize) {
        if let Some(&(_, slot)) = self.heap.get(at)
            && let Some(position) = self.positions.get_mut(slot as usize)
        {
            *position = at as u32;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn rise(&mut self, mut at: usize) {
        self.note(at);
        while at > 0 && self.key(at) < self.key((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let left = at * 2 + 1;
            let Some(mut least) = self.key(left) else { return };
            let mut child = left;
            if let Some(right) = self.key(left + 1)
                && right < least
            {
                (least, child) = (right, left + 1);
            }
            if self.key(at).is_some_and(|key| key <= least) {
                return;
            }
            self.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_later_deadline_comes_up_early() {
        let mut deadlines = Deadlines::new();
        assert!(deadlines.reserve(2));
        deadlines.at_latest(0, Instant::from_millis(10));
        deadlines.at_latest(0, Instant::from_millis(20));
        deadlines.at_latest(1, Instant::from_millis(5));
        assert_eq!(deadlines.take_due(Instant::from_millis(4)), None);
        assert_eq!(deadlines.take_due(Instant::from_millis(10)), Some(1));
        assert_eq!(deadlines.take_due(Instant::from_millis(10)), Some(0));
        assert_eq!(deadlines.first(), None);
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_list(operations in vec((0u32..20, 0i64..100, 0u8..4), 0..200)) {
            let mut deadlines = Deadlines::new();
            prop_assert!(deadlines.reserve(20));
            let mut model = std::collections::BTreeMap::new();
            for (slot, time, operation) in operations {
                let time = Instant::from_millis(time);
                match operation {
                    0 | 1 => {
                        deadlines.at_latest(slot, time);
                        let entry = model.entry(slot).or_insert(time);
                        *entry = time.min(*entry);
                    }
                    2 => {
                        deadlines.remove(slot);
                        model.remove(&slot);
                    }
                    _ => match deadlines.take_due(time) {
                        Some(slot) => {
                            let earliest = model.values().min().copied();
                            prop_assert_eq!(model.remove(&slot), earliest);
                        }
                        None => prop_assert!(model.values().all(|&due| due > time)),
                    },
                }
                prop_assert_eq!(deadlines.first(), model.values().min().copied());
            }
        }
    }
}
