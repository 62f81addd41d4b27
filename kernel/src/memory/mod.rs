//! Memory: who has it, and what happens when there is none left.
//!
//! All RAM that the image does not use belongs to the frame allocator (`frames.rs`), and the heap
//! takes frames from it and gives them back (`heap/`). Pages for devices are page-aligned blocks of
//! the heap, which are whole frames. Interrupt handlers do not allocate, and what they free comes back
//! a little later (`late.rs`).
//!
//! `unsafe` is allowed in this folder. Everything in it but `global.rs` works on any memory, so that
//! tests and Miri run it on the host; there the global allocator is the host's.

mod at_work;
mod balloon;
mod error;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "only tests use it on the host"))]
mod frames;
#[cfg(target_os = "none")]
mod global;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "only tests use it on the host"))]
mod heap;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "only tests use it on the host"))]
mod late;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "only tests use it on the host"))]
mod runs;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "only tests use it on the host"))]
mod source;
#[cfg(test)]
mod test_memory;

use core::fmt;

#[cfg(target_os = "none")]
pub(crate) use at_work::is_at_work;
pub(crate) use balloon::Spare;
pub(crate) use error::shrink;
pub use error::{OutOfMemory, last_failure, try_box, try_reserve, try_room, try_vec, try_zeroed};
#[cfg(target_os = "none")]
pub(crate) use global::{free_late_blocks, init};
pub use mayfly_arch::PAGE_SIZE;

/// How much memory there is, and how much of it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames of [`PAGE_SIZE`] bytes that the image itself does not use. Those that were given back
    /// to Xen are not counted.
    pub total_frames: usize,
    /// Frames that nothing uses.
    pub free_frames: usize,
    /// Length of the longest run of contiguous free frames.
    pub longest_free_run: usize,
    /// Bytes of the heap that are in use, rounded up to what each block takes.
    pub heap_in_use: usize,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB_PER_FRAME: usize = PAGE_SIZE / 1024;
        if self.total_frames == 0 {
            return f.write_str("unknown");
        }
        write!(
            f,
            "{} of {} KiB free, {} KiB of it in one piece, {} KiB in use by the heap",
            self.free_frames * KIB_PER_FRAME,
            self.total_frames * KIB_PER_FRAME,
            self.longest_free_run * KIB_PER_FRAME,
            self.heap_in_use.div_ceil(1024),
        )
    }
}

/// The present state of the guest's memory. All zero in an interrupt handler, in the report of what has
/// happened in the middle of the allocator, and on the host, whose memory is not Mayfly's.
pub fn stats() -> Stats {
    #[cfg(target_os = "none")]
    return global::stats();
    #[cfg(not(target_os = "none"))]
    Stats::default()
}
