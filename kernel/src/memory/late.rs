//! Blocks that interrupt handlers have freed, and that the heap takes back later.
//!
//! A handler wakes a task by its waker, and may be the last to have that: the future or the executor
//! behind it, which may be the app's own, has gone meanwhile. The handler may have interrupted the
//! heap, so the block is only put down here. It is linked with the others by words of its own, so
//! that takes no memory.

use core::{
    alloc::Layout,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};

/// What is written into a block that nobody uses any more: every block has this much room.
#[repr(C)]
struct Late {
    next: *mut Late,
    /// Its size in bytes, and above that the power of two that it is aligned to.
    layout: u64,
}

/// Bits of a size: no address space of ours is larger.
const SIZE_BITS: u32 = 56;

/// Such blocks, newest first.
pub(super) struct LateBlocks(AtomicPtr<Late>);

impl LateBlocks {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts a block down. Only one handler runs at a time.
    ///
    /// # Safety
    /// Nobody uses the block any more. It has 16 bytes or more, whatever the layout says.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn put(&self, block: NonNull<u8>, layout: Layout) {
        const { assert!(size_of::<Late>() <= 16) };
        let late = block.as_ptr().cast::<Late>();
        let layout = layout.size() as u64 | u64::from(layout.align().trailing_zeros()) << SIZE_BITS;
        // A read-modify-write also ends a task's exclusive access on ARM that was interrupted half-way.
        let next = self.0.swap(late, Ordering::AcqRel);
        // SAFETY: the block is ours and large enough, and nobody follows the link before this handler
        // returns: `take` is not for handlers.
        unsafe { late.write_unaligned(Late { next, layout }) };
    }

    /// Takes all of them, and gives each to `free`, with its layout. Not for handlers.
    #[inline]
    pub(super) fn take(&self, free: impl FnMut(NonNull<u8>, Layout)) {
        if !self.0.load(Ordering::Relaxed).is_null() {
            self.take_some(free);
        }
    }

    #[cold]
    fn take_some(&self, mut free: impl FnMut(NonNull<u8>, Layout)) {
        let mut next = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(late) = NonNull::new(next) {
            // SAFETY: `put` has written it, and the block is used by nobody but this list until
            // `free` has it.
            let Late { next: following, layout } = unsafe { late.read_unaligned() };
            next = following;
            let size = layout & ((1 << SIZE_BITS) - 1);
            // SAFETY: these are the size and the alignment of the layout that `put` was given.
            let layout = unsafe {
                Layout::from_size_align_unchecked(size as usize, 1 << (layout >> SIZE_BITS))
            };
            free(late.cast(), layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        alloc::{alloc, dealloc},
        vec::Vec,
    };

    use super::*;

    #[test]
    fn blocks_come_back_once_with_their_layouts() {
        let blocks = LateBlocks::new();
        let layouts = [(16, 16), (100, 1), (1 << 20, 4096), (17, 64)];
        let layouts = layouts.map(|(size, align)| Layout::from_size_align(size, align).unwrap());
        for layout in layouts {
            // SAFETY: the blocks have 16 bytes and more, and nobody else uses them.
            unsafe { blocks.put(NonNull::new(alloc(layout)).unwrap(), layout) };
        }
        let mut freed = Vec::new();
        blocks.take(|block, layout| {
            freed.push(layout);
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(block.as_ptr(), layout) };
        });
        freed.reverse();
        assert_eq!(freed, layouts);
        blocks.take(|_, _| panic!("a block comes back twice"));
    }

    #[test]
    fn a_block_may_be_smaller_than_what_is_written_there_by_its_layout() {
        let mut place = [0_u8; 16];
        let (blocks, layout) = (LateBlocks::new(), Layout::new::<u8>());
        // SAFETY: the place has 16 bytes, and nobody else uses it meanwhile.
        unsafe { blocks.put(NonNull::from(&mut place).cast(), layout) };
        let mut freed = Vec::new();
        blocks.take(|_, layout| freed.push(layout));
        assert_eq!(freed, [layout]);
    }
}
