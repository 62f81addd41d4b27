//! A set of slots of the connection table.
//!
//! It takes a bit for each slot, which is there before anything is added: what a peer does makes
//! nothing grow.

use alloc::vec::Vec;

/// See the module.
#[derive(Default)]
pub(super) struct SlotSet {
    words: Vec<u32>,
    /// All words before this one are zero.
    first: usize,
}

impl SlotSet {
    /// The empty set.
    pub(super) const fn new() -> Self {
        Self { words: Vec::new(), first: 0 }
    }

    /// Makes sure that slot numbers below `slots` can be added. Returns whether there was memory for
    /// that.
    pub(super) fn reserve(&mut self, slots: usize) -> bool {
        let more = slots.div_ceil(32).saturating_sub(self.words.len());
        let is_reserved = self.words.try_reserve(more).is_ok();
        if is_reserved {
            self.words.resize(self.words.len() + more, 0);
        }
        is_reserved
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, slot: u32) {
        let (index, bit) = place(slot);
        if let Some(word) = self.words.get_mut(index) {
            *word |= bit;
            self.first = self.first.min(index);
        }
    }

    /// Takes a slot out, if it is in there.
    pub(super) fn remove(&mut self, slot: u32) {
        let (index, bit) = place(slot);
        if let Some(word) = self.words.get_mut(index) {
            *word &= !bit;
        }
    }

    /// Takes the first slot out.
    pub(super) fn pop(&mut self) -> Option<u32> {
        while let Some(word) = self.words.get_mut(self.first) {
            if *word != 0 {
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                return Some(self.first as u32 * 32 + bit);
            }
            self.first += 1;
        }
        None
    }
}

/// The word of a slot, and its bit there.
fn place(slot: u32) -> (usize, u32) {
    ((slot / 32) as usize, 1 << (slot % 32))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_sorted_set(operations in vec((0u32..100, 0u8..4), 0..200)) {
            let mut set = SlotSet::new();
            prop_assert!(set.reserve(100));
            let mut model = BTreeSet::new();
            for (slot, operation) in operations {
                match operation {
                    0 | 1 => {
                        set.insert(slot);
                        model.insert(slot);
                    }
                    2 => {
                        set.remove(slot);
                        model.remove(&slot);
                    }
                    _ => prop_assert_eq!(set.pop(), model.pop_first()),
                }
                prop_assert_eq!(set.words.capacity(), 4);
            }
            prop_assert!(core::iter::from_fn(|| set.pop()).eq(model));
        }
    }
}
