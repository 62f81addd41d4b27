//! A word that this domain and another change at the same time, and a byte that belongs to one of
//! them at a time.
//!
//! They are behind traits, so that a model checker can have its own: what may be seen in which order
//! is part of each protocol, and tests on one processor do not show when it is wrong.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering, fence};

/// Such a word. The methods are those of [`AtomicU32`].
pub(crate) trait SharedWord {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn swap(&self, value: u32, order: Ordering) -> u32;
    fn fetch_or(&self, bits: u32, order: Ordering) -> u32;
    fn fetch_and(&self, bits: u32, order: Ordering) -> u32;

    /// What was done before is there for all before anything that is done afterwards.
    fn barrier();
}

/// Has an atomic type be one, with the fence that belongs to it.
macro_rules! shared_word {
    ($word:ty, $fence:path) => {
        impl $crate::shared_word::SharedWord for $word {
            fn load(&self, order: core::sync::atomic::Ordering) -> u32 {
                <$word>::load(self, order)
            }

            fn store(&self, value: u32, order: core::sync::atomic::Ordering) {
                <$word>::store(self, value, order);
            }

            fn swap(&self, value: u32, order: core::sync::atomic::Ordering) -> u32 {
                <$word>::swap(self, value, order)
            }

            fn fetch_or(&self, bits: u32, order: core::sync::atomic::Ordering) -> u32 {
                <$word>::fetch_or(self, bits, order)
            }

            fn fetch_and(&self, bits: u32, order: core::sync::atomic::Ordering) -> u32 {
                <$word>::fetch_and(self, bits, order)
            }

            fn barrier() {
                $fence(core::sync::atomic::Ordering::SeqCst);
            }
        }
    };
}

shared_word!(AtomicU32, fence);
#[cfg(all(test, not(miri)))]
pub(crate) use shared_word;

/// A byte that words such as these say the owner of. It is atomic all the same, for the other side
/// need not keep to that.
pub(crate) trait SharedByte {
    fn get(&self) -> u8;
    fn set(&self, value: u8);
}

impl SharedByte for AtomicU8 {
    fn get(&self) -> u8 {
        self.load(Ordering::Relaxed)
    }

    fn set(&self, value: u8) {
        self.store(value, Ordering::Relaxed);
    }
}
