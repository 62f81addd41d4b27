//! Records that are found by number, in chunks that are taken from the heap and given back.
//!
//! A chunk never moves, so growing copies nothing and needs no large block; 1,000,000 tasks live
//! in chunks as well as three do. A vacant entry keeps what its owner left in it, which lets tasks
//! use their waker again.

use alloc::{boxed::Box, vec::Vec};
use core::array;

use crate::memory::{OutOfMemory, try_box, try_reserve};

/// No entry, no chunk: the end of a list of numbers.
pub(crate) const NONE: u32 = u32::MAX;

const CHUNK: u32 = 16;

/// Entries of type `T`, each with a number that stays the same until it is removed.
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    /// First of the chunks that have a vacant entry.
    partial: u32,
    /// First of the places that have no chunk.
    unused: u32,
    /// A chunk without any entry in use that is kept for the next insertion.
    spare: u32,
    len: usize,
}

enum Place<T> {
    Chunk(Box<Chunk<T>>),
    Unused { next: u32 },
}

struct Chunk<T> {
    entries: [T; CHUNK as usize],
    /// One bit for each vacant entry.
    vacant: u16,
    /// Neighbours in the list of chunks with a vacant entry.
    next: u32,
    previous: u32,
}

impl<T> Slab<T> {
    /// No entries and no memory.
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), partial: NONE, unused: NONE, spare: NONE, len: 0 }
    }

    /// How many entries are in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The entry with this number. It must have been inserted and not removed since.
    pub(crate) fn get(&self, index: u32) -> &T {
        &self.chunk(index / CHUNK).entries[(index % CHUNK) as usize]
    }

    /// The entry with this number, to be changed.
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunk_mut(index / CHUNK).entries[(index % CHUNK) as usize]
    }

    /// The first number in use that is `from` or more.
    pub(crate) fn next_used(&self, from: u32) -> Option<u32> {
        let mut vacant_below = (1u16 << (from % CHUNK)) - 1;
        for (place, number) in self.places.iter().zip(0u32..).skip((from / CHUNK) as usize) {
            if let Place::Chunk(chunk) = place {
                let used = !(chunk.vacant | vacant_below);
                if used != 0 {
                    return Some(number * CHUNK + used.trailing_zeros());
                }
            }
            vacant_below = 0;
        }
        None
    }

    /// Gives the entry back; its value stays as it is. A chunk without entries is freed, except
    /// for one.
    pub(crate) fn remove(&mut self, index: u32) {
        let (number, bit) = (index / CHUNK, 1 << (index % CHUNK));
        let chunk = self.chunk_mut(number);
        debug_assert!(chunk.vacant & bit == 0, "removed twice");
        let was_full = chunk.vacant == 0;
        chunk.vacant |= bit;
        let is_empty = chunk.vacant == u16::MAX;
        self.len -= 1;
        if was_full {
            self.link(number);
        }
        if is_empty {
            if self.spare == NONE {
                self.spare = number;
            } else {
                self.free_chunk(number);
            }
        }
    }

    fn chunk(&self, number: u32) -> &Chunk<T> {
        match &self.places[number as usize] {
            Place::Chunk(chunk) => chunk,
            Place::Unused { .. } => unreachable!("slab entry used after it was removed"),
        }
    }

    fn chunk_mut(&mut self, number: u32) -> &mut Chunk<T> {
        match &mut self.places[number as usize] {
            Place::Chunk(chunk) => chunk,
            Place::Unused { .. } => unreachable!("slab entry used after it was removed"),
        }
    }

    /// Puts a chunk in front of the list of those with a vacant entry.
    fn link(&mut self, number: u32) {
        let next = self.partial;
        let chunk = self.chunk_mut(number);
        (chunk.next, chunk.previous) = (next, NONE);
        if next != NONE {
            self.chunk_mut(next).previous = number;
        }
        self.partial = number;
    }

    /// Takes a chunk out of the list of those with a vacant entry.
    fn unlink(&mut self, number: u32) {
        let Chunk { next, previous, .. } = *self.chunk(number);
        if previous == NONE {
            self.partial = next;
        } else {
            self.chunk_mut(previous).next = next;
        }
        if next != NONE {
            self.chunk_mut(next).previous = previous;
        }
    }

    fn free_chunk(&mut self, number: u32) {
        self.unlink(number);
        self.places[number as usize] = Place::Unused { next: self.unused };
        self.unused = number;
    }
}

impl<T: Default> Slab<T> {
    /// Takes a vacant entry into use, with whatever it holds, and returns its number.
    /// `who` is what the memory is for, if there is none left.
    pub(crate) fn insert(&mut self, who: &'static str) -> Result<u32, OutOfMemory> {
        if self.partial == NONE {
            self.add_chunk(who)?;
        }
        let number = self.partial;
        let chunk = self.chunk_mut(number);
        let bit = chunk.vacant.trailing_zeros();
        chunk.vacant &= chunk.vacant - 1;
        let is_full = chunk.vacant == 0;
        if is_full {
            self.unlink(number);
        }
        if self.spare == number {
            self.spare = NONE;
        }
        self.len += 1;
        Ok(number * CHUNK + bit)
    }

    #[cold]
    fn add_chunk(&mut self, who: &'static str) -> Result<(), OutOfMemory> {
        let chunk = Chunk {
            entries: array::from_fn(|_| T::default()),
            vacant: u16::MAX,
            next: NONE,
            previous: NONE,
        };
        let place = Place::Chunk(try_box(chunk, who)?);
        let number = self.unused;
        if number == NONE {
            try_reserve(&mut self.places, 1, who)?;
            self.places.push(place);
            self.link(self.places.len() as u32 - 1);
        } else {
            if let Place::Unused { next } = self.places[number as usize] {
                self.unused = next;
            }
            self.places[number as usize] = place;
            self.link(number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_used_again_and_chunks_given_back() {
        let mut slab = Slab::<u32>::new();
        let all: Vec<u32> = (0..1000).map(|_| slab.insert("test").unwrap()).collect();
        assert_eq!(slab.len(), 1000);
        for &index in &all {
            slab.remove(index);
        }
        let chunks = slab.places.iter().filter(|place| matches!(place, Place::Chunk(_))).count();
        assert_eq!((slab.len(), chunks), (0, 1));
        assert!(slab.insert("test").unwrap() < 1008);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec((any::<bool>(), any::<u16>()), 0..600)) {
            let mut slab = Slab::<u64>::new();
            let mut model = BTreeMap::new();
            for (insert, which) in operations {
                if insert || model.is_empty() {
                    let index = slab.insert("test").unwrap();
                    *slab.get_mut(index) = u64::from(which);
                    prop_assert!(model.insert(index, u64::from(which)).is_none());
                } else {
                    let index = *model.keys().nth(usize::from(which) % model.len()).unwrap();
                    prop_assert_eq!(Some(*slab.get(index)), model.remove(&index));
                    slab.remove(index);
                }
                let used = core::iter::successors(slab.next_used(0), |i| slab.next_used(i + 1));
                prop_assert!(used.eq(model.keys().copied()));
            }
        }
    }
}
