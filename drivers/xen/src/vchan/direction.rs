//! The indices of one direction, and who is to be told when they move.
//!
//! Each side has an index of its own, which counts bytes and wraps at 2^32, and a set of bits in
//! which it asks the other side for an event: when something was written, or when something was
//! read. To lose no event, whoever moves an index looks at the bits *afterwards*, and whoever sets a
//! bit looks at the index *afterwards*, each behind a full barrier: so at least one of them sees what
//! the other has done.
//!
//! Between two sides that change the bits by atomic operations, the barriers would not be needed;
//! they are for another side that does not.
//!
//! What is atomic is behind traits, so that a model checker can have its own.

use core::sync::atomic::{AtomicU8, AtomicU32, fence};

/// "Tell me when something was written" (`VCHAN_NOTIFY_WRITE`).
pub(super) const WRITTEN: u8 = 1 << 0;
/// "Tell me when something was read" (`VCHAN_NOTIFY_READ`).
pub(super) const READ: u8 = 1 << 1;

/// The indices say that there are more bytes in the ring than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadIndex;

/// An index.
pub(super) trait Index {
    /// Its value; what the other side did before it set it has been done.
    fn get(&self) -> u32;
    /// Sets it, after all that was done before.
    fn set(&self, value: u32);
}

/// Bits that both sides change.
pub(super) trait Bits {
    /// Sets bits; what follows is done after that.
    fn raise(&self, bits: u8);
    /// Clears bits, after all that was done before. Returns whether any was set.
    fn take(&self, bits: u8) -> bool;
}

/// Has atomic types of this name do that.
macro_rules! atomics {
    ($word:ty, $byte:ty, $fence:path) => {
        impl $crate::vchan::direction::Index for $word {
            fn get(&self) -> u32 {
                self.load(core::sync::atomic::Ordering::Acquire)
            }

            fn set(&self, value: u32) {
                self.store(value, core::sync::atomic::Ordering::Release);
            }
        }

        impl $crate::vchan::direction::Bits for $byte {
            fn raise(&self, bits: u8) {
                self.fetch_or(bits, core::sync::atomic::Ordering::SeqCst);
                $fence(core::sync::atomic::Ordering::SeqCst);
            }

            fn take(&self, bits: u8) -> bool {
                $fence(core::sync::atomic::Ordering::SeqCst);
                self.fetch_and(!bits, core::sync::atomic::Ordering::SeqCst) & bits != 0
            }
        }
    };
}

atomics!(AtomicU32, AtomicU8, fence);
#[cfg(test)]
pub(super) use atomics;

/// One direction, as one side sees it. That side's index is also kept elsewhere, for what is in
/// shared memory may have been changed.
pub(super) struct Direction<'a, I, B> {
    /// The index that this side moves.
    pub(super) own: &'a I,
    /// The index that the other side moves.
    pub(super) other: &'a I,
    /// Where this side asks for events, and for which.
    pub(super) asks: (&'a B, u8),
    /// Where the other side does.
    pub(super) asked: (&'a B, u8),
    /// Bytes in the ring, a power of two.
    pub(super) size: u32,
}

impl<I: Index, B: Bits> Direction<'_, I, B> {
    /// How many bytes can be read, for who has read as many as `next`.
    ///
    /// # Errors
    /// If the other side says that there are more than the ring holds.
    pub(super) fn readable(&self, next: u32) -> Result<u32, BadIndex> {
        let count = self.other.get().wrapping_sub(next);
        if count <= self.size { Ok(count) } else { Err(BadIndex) }
    }

    /// How many bytes there is room for, for who has written as many as `next`.
    ///
    /// # Errors
    /// If the other side says that it has read what was not written.
    pub(super) fn writable(&self, next: u32) -> Result<u32, BadIndex> {
        self.size.checked_sub(next.wrapping_sub(self.other.get())).ok_or(BadIndex)
    }

    /// Moves this side's index. Returns whether the other side is to be sent an event.
    pub(super) fn advance(&self, next: u32) -> bool {
        self.own.set(next);
        let (bits, bit) = self.asked;
        bits.take(bit)
    }

    /// Asks for an event at the other side's next move. Then look again before waiting for it.
    pub(super) fn ask(&self) {
        let (bits, bit) = self.asks;
        bits.raise(bit);
    }
}
