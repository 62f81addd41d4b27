//! Memory for tests: regions on the host's heap, full of garbage as RAM is.

use std::{
    alloc::{Layout, alloc, dealloc},
    ptr::NonNull,
};

use mayfly_arch::PAGE_SIZE;

use super::frames::FrameAllocator;

/// Regions of RAM that are freed with this value.
pub(super) struct TestMemory {
    regions: Vec<(NonNull<u8>, usize)>,
}

impl TestMemory {
    /// One region for each number of frames, aligned to 16 frames and more.
    pub(super) fn new(frames: &[usize]) -> Self {
        let regions = frames.iter().map(|&frames| {
            // SAFETY: no test asks for a region of no frames.
            let start = NonNull::new(unsafe { alloc(layout(frames)) }).unwrap();
            // SAFETY: just allocated with this size.
            unsafe { start.write_bytes(0xa5, frames * PAGE_SIZE) };
            (start, frames)
        });
        Self { regions: regions.collect() }
    }

    /// A frame allocator for these regions. It must not be used beyond the life of `self`, nor a
    /// second one made.
    pub(super) fn frames(&self) -> FrameAllocator {
        let mut frames = FrameAllocator::new();
        // SAFETY: the regions are this value's own, and tests keep it for long enough.
        unsafe { frames.init(&self.regions) };
        frames
    }
}

impl Drop for TestMemory {
    fn drop(&mut self) {
        for &(start, frames) in &self.regions {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(start.as_ptr(), layout(frames)) };
        }
    }
}

fn layout(frames: usize) -> Layout {
    Layout::from_size_align(frames * PAGE_SIZE, 16 * PAGE_SIZE).unwrap()
}
