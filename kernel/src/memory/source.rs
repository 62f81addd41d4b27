//! Where the heap gets its pages from.

use core::ptr::NonNull;

/// A source of whole, contiguous frames.
///
/// # Safety
/// `allocate` returns `frames` writable frames that nobody else uses until they are passed to
/// `free`; the start is a multiple of `align` frames.
pub(super) unsafe trait FrameSource {
    /// Takes `frames` contiguous frames, at least one, whose address is a multiple of `align`
    /// frames; `align` is a power of two.
    fn allocate(&mut self, frames: usize, align: usize) -> Option<NonNull<u8>>;

    /// Takes frames back.
    ///
    /// # Safety
    /// They were allocated here, in one piece or in several that are neighbours, and nobody uses
    /// them any more.
    unsafe fn free(&mut self, start: NonNull<u8>, frames: usize);

    /// Adds the `more` frames that follow the `frames` at `start` to them, if they are free.
    ///
    /// # Safety
    /// The frames at `start` were allocated here.
    unsafe fn extend(&mut self, start: NonNull<u8>, frames: usize, more: usize) -> bool;
}
