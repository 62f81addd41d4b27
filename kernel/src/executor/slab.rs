//! Records that are found by number, in chunks that are taken from the heap and given back.
//!
//! A chunk never moves, so growing copies nothing and needs no large block; 1,000,000 tasks live
//! in chunks as well as three do. A vacant entry keeps what its owner left in it, which lets tasks
//! use their waker again.

use alloc::{boxed::Box, vec::Vec};
use core::{array, mem};

use crate::memory::{self, OutOfMemory, try_box, try_reserve};

/// No entry, no chunk: the end of a list of numbers.
pub(crate) const NONE: u32 = u32::MAX;

const CHUNK: u32 = 16;

/// Tables for so many chunks are not worth making smaller.
const SMALL_TABLE: usize = 64;

/// Entries of type `T`, each with a number that stays the same until it is removed.
pub(crate) struct Slab<T> {
    chunks: Vec<Option<Box<[T; CHUNK as usize]>>>,
    /// As many as there are chunks.
    uses: Vec<Use>,
    /// First of the chunks that have a vacant entry.
    partial: u32,
    /// First of the places that have no chunk.
    unused: u32,
    /// A chunk without any entry in use that is kept for the next insertion.
    spare: u32,
}

/// What is in use in a chunk.
#[derive(Clone, Copy)]
struct Use {
    /// One bit for each vacant entry.
    vacant: u16,
    /// Neighbours in the list of chunks with a vacant entry, or in that of places without a chunk.
    next: u32,
    previous: u32,
}

impl<T> Slab<T> {
    /// No entries and no memory.
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), uses: Vec::new(), partial: NONE, unused: NONE, spare: NONE }
    }

    /// The entry with this number. It must have been inserted and not removed since.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        let chunk = self.chunks[(index / CHUNK) as usize].as_ref().expect("removed");
        &chunk[(index % CHUNK) as usize]
    }

    /// The entry with this number, in use or vacant; `None` if there is no memory for it.
    pub(crate) fn try_get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get((index / CHUNK) as usize)?.as_ref()?;
        chunk.get((index % CHUNK) as usize)
    }

    /// The entry with this number, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        let chunk = self.chunks[(index / CHUNK) as usize].as_mut().expect("removed");
        &mut chunk[(index % CHUNK) as usize]
    }

    /// As `try_get`, to be changed.
    #[cfg(target_os = "none")]
    pub(crate) fn try_get_mut(&mut self, index: u32) -> Option<&mut T> {
        let chunk = self.chunks.get_mut((index / CHUNK) as usize)?.as_mut()?;
        chunk.get_mut((index % CHUNK) as usize)
    }

    /// The first number in use that is `from` or more.
    pub(crate) fn next_used(&self, from: u32) -> Option<u32> {
        let mut vacant_below = (1u16 << (from % CHUNK)) - 1;
        for (place, number) in self.uses.iter().zip(0u32..).skip((from / CHUNK) as usize) {
            let used = !(place.vacant | vacant_below);
            if used != 0 {
                return Some(number * CHUNK + used.trailing_zeros());
            }
            vacant_below = 0;
        }
        None
    }

    /// Gives the entry back; its value stays as it is. A chunk without entries is freed, except
    /// for one.
    pub(crate) fn remove(&mut self, index: u32) {
        let (number, bit) = (index / CHUNK, 1 << (index % CHUNK));
        let vacant = &mut self.uses[number as usize].vacant;
        debug_assert!(*vacant & bit == 0, "removed twice");
        let before = *vacant;
        *vacant |= bit;
        if *vacant == u16::MAX {
            self.empty(number);
        } else if before == 0 {
            Self::link(&mut self.uses, &mut self.partial, number);
        }
    }

    /// Frees a chunk without entries, or keeps it if it is the only one.
    #[cold]
    fn empty(&mut self, number: u32) {
        // Low numbers are worth more: they let the tables end early.
        let number = if self.spare == NONE || number < self.spare {
            mem::replace(&mut self.spare, number)
        } else {
            number
        };
        if number == NONE {
            return;
        }
        Self::unlink(&mut self.uses, &mut self.partial, number);
        self.chunks[number as usize] = None;
        Self::link(&mut self.uses, &mut self.unused, number);
        self.shrink();
    }

    /// Gives back the end of the tables, if there are no chunks in it.
    fn shrink(&mut self) {
        while let Some(None) = self.chunks.last() {
            let last = self.chunks.len() as u32 - 1;
            Self::unlink(&mut self.uses, &mut self.unused, last);
            self.chunks.pop();
            self.uses.pop();
        }
        let len = self.chunks.len();
        if self.chunks.capacity() > SMALL_TABLE && len < self.chunks.capacity() / 4 {
            memory::shrink(&mut self.chunks, 2 * len);
            memory::shrink(&mut self.uses, 2 * len);
        }
    }

    /// Puts a place in front of a list.
    #[cold]
    fn link(uses: &mut [Use], first: &mut u32, number: u32) {
        let place = &mut uses[number as usize];
        (place.next, place.previous) = (*first, NONE);
        if *first != NONE {
            uses[*first as usize].previous = number;
        }
        *first = number;
    }

    /// Takes a place out of a list.
    #[cold]
    fn unlink(uses: &mut [Use], first: &mut u32, number: u32) {
        let Use { next, previous, .. } = uses[number as usize];
        if previous == NONE {
            *first = next;
        } else {
            uses[previous as usize].next = next;
        }
        if next != NONE {
            uses[next as usize].previous = previous;
        }
    }
}

impl<T: Default> Slab<T> {
    /// Takes a vacant entry into use, with whatever it holds, and returns its number.
    ///
    /// # Errors
    /// When there is no memory; `who` is what it is for.
    pub(crate) fn insert(&mut self, who: &'static str) -> Result<u32, OutOfMemory> {
        if self.partial == NONE {
            self.add_chunk(who)?;
        }
        let number = self.partial;
        if self.spare == number {
            self.spare = NONE;
        }
        let vacant = &mut self.uses[number as usize].vacant;
        let bit = vacant.trailing_zeros();
        *vacant &= *vacant - 1;
        if *vacant == 0 {
            Self::unlink(&mut self.uses, &mut self.partial, number);
        }
        Ok(number * CHUNK + bit)
    }

    #[cold]
    fn add_chunk(&mut self, who: &'static str) -> Result<(), OutOfMemory> {
        let chunk = Some(try_box(array::from_fn(|_| T::default()), who)?);
        let mut number = self.unused;
        if number == NONE {
            try_reserve(&mut self.chunks, 1, who)?;
            try_reserve(&mut self.uses, 1, who)?;
            number = self.chunks.len() as u32;
            self.chunks.push(chunk);
            self.uses.push(Use { vacant: u16::MAX, next: NONE, previous: NONE });
        } else {
            Self::unlink(&mut self.uses, &mut self.unused, number);
            self.chunks[number as usize] = chunk;
        }
        Self::link(&mut self.uses, &mut self.partial, number);
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
        for &index in &all {
            slab.remove(index);
        }
        assert_eq!(slab.chunks.iter().flatten().count(), 1);
        assert!(slab.chunks.capacity() <= SMALL_TABLE && slab.uses.capacity() <= SMALL_TABLE);
        assert!(slab.insert("test").unwrap() < 1008);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 256 }))]

        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec((any::<bool>(), any::<u16>()), 0..if cfg!(miri) { 60 } else { 600 })) {
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
