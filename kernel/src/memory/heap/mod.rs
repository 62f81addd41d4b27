//! The heap: three ways to keep blocks, by size.
//!
//! - up to 2 KiB: size classes (`small.rs`);
//! - above, if the block fills its last page badly: `linked_list_allocator`, in arenas of 64 KiB
//!   (`arenas.rs`);
//! - all other large blocks: whole frames, which a growing vector may extend where they are.
//!
//! Which of them holds a block follows from its layout alone, so freeing needs no search. All
//! memory comes from a frame source when it is needed and goes back when it is empty.

mod arenas;
mod classes;
mod small;

use core::{alloc::Layout, ptr::NonNull};

use mayfly_arch::PAGE_SIZE;

use self::{arenas::Arenas, classes::Class, small::SmallBlocks};
use super::{at_work::AtWork, source::FrameSource};

/// Blocks of this size and more are always whole frames.
const LARGEST_IN_ARENA: usize = 32 * 1024;

/// So are those that are smaller than this and have an alignment that no class has: every block has
/// room for what [`LateBlocks`](super::late::LateBlocks) writes there.
const SMALLEST_IN_ARENA: usize = 16;

/// All blocks of the heap.
pub(super) struct Heap {
    small: SmallBlocks,
    arenas: Arenas,
    /// Bytes in large blocks in use.
    large_in_use: usize,
}

/// Where a block is kept.
enum Home {
    Small(Class),
    Arena,
    /// In that many frames of its own, at a multiple of so many frames.
    Frames(usize, usize),
}

impl Home {
    fn of(layout: Layout) -> Self {
        match Class::of(layout) {
            Some(class) => Self::Small(class),
            None => Self::of_large(layout),
        }
    }

    fn of_large(layout: Layout) -> Self {
        let (size, align) = (layout.size(), layout.align());
        let frames = size.div_ceil(PAGE_SIZE).max(1);
        // A layout is never so large that rounding up would overflow.
        let waste = frames * PAGE_SIZE - size;
        let is_for_arena = (SMALLEST_IN_ARENA..LARGEST_IN_ARENA).contains(&size);
        if is_for_arena && waste > size / 8 && align < PAGE_SIZE {
            return Self::Arena;
        }
        Self::Frames(frames, align.div_ceil(PAGE_SIZE))
    }
}

impl Heap {
    /// An empty heap.
    pub(super) const fn new() -> Self {
        Self { small: SmallBlocks::new(), arenas: Arenas::new(), large_in_use: 0 }
    }

    /// Bytes in use, as the blocks' owners asked for them, rounded up to size classes.
    pub(super) fn in_use(&self) -> usize {
        self.small.in_use() + self.large_in_use
    }

    /// As `allocate`, if it can be done in a few instructions: that is nearly always so.
    #[inline]
    pub(super) fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.small.take(Class::plain(layout)?)
    }

    /// Takes a block, whose size may be zero; it is not initialised.
    pub(super) fn allocate(
        &mut self,
        layout: Layout,
        frames: &mut impl FrameSource,
    ) -> Option<NonNull<u8>> {
        let _at_work = AtWork::begin();
        let home = Home::of(layout);
        let mut block = self.allocate_at(&home, layout, frames);
        if block.is_none() && self.small.trim(frames) {
            block = self.allocate_at(&home, layout, frames);
        }
        if block.is_some() {
            self.large_in_use += home.footprint(layout);
        }
        block
    }

    fn allocate_at(
        &mut self,
        home: &Home,
        layout: Layout,
        frames: &mut impl FrameSource,
    ) -> Option<NonNull<u8>> {
        match *home {
            Home::Small(class) => self.small.allocate(class, frames),
            Home::Arena => self.arenas.allocate(layout, frames),
            Home::Frames(count, align) => frames.allocate(count, align),
        }
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// It was allocated here with this layout and is not used any more.
    #[inline]
    pub(super) unsafe fn free(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        frames: &mut impl FrameSource,
    ) {
        let Some(class) = Class::plain(layout) else {
            // SAFETY: the same conditions.
            return unsafe { self.free_slowly(block, layout, frames) };
        };
        // SAFETY: the caller allocated it with this layout, and so with this class.
        unsafe {
            if let Some(span) = self.small.put(block, class) {
                let _at_work = AtWork::begin();
                self.small.tidy(class, span, frames);
            }
        }
    }

    /// # Safety
    /// As for `free`.
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        frames: &mut impl FrameSource,
    ) {
        let _at_work = AtWork::begin();
        let home = Home::of(layout);
        self.large_in_use -= home.footprint(layout);
        // SAFETY: the caller allocated it with this layout, and so at this home.
        unsafe {
            match home {
                Home::Small(class) => {
                    if let Some(span) = self.small.put(block, class) {
                        self.small.tidy(class, span, frames);
                    }
                }
                Home::Arena => self.arenas.free(block, layout, frames),
                Home::Frames(count, _) => frames.free(block, count),
            }
        }
    }

    /// Changes the size of a block where it is. Returns whether that was possible.
    ///
    /// # Safety
    /// It was allocated here with `old`; `new` has the same alignment.
    pub(super) unsafe fn resize(
        &mut self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        frames: &mut impl FrameSource,
    ) -> bool {
        let _at_work = AtWork::begin();
        let done = match (Home::of(old), Home::of(new)) {
            (Home::Small(old), Home::Small(new)) => old == new,
            (Home::Frames(old, _), Home::Frames(new, _)) if new > old => {
                // SAFETY: the block was allocated in these frames.
                unsafe { frames.extend(block, old, new - old) }
            }
            (Home::Frames(old, _), Home::Frames(new, _)) => {
                if new < old {
                    // SAFETY: these are the last frames of the block, which it gives up.
                    unsafe { frames.free(block.add(new * PAGE_SIZE), old - new) }
                }
                true
            }
            _ => false,
        };
        if done {
            self.large_in_use += Home::of(new).footprint(new);
            self.large_in_use -= Home::of(old).footprint(old);
        }
        done
    }
}

impl Home {
    /// Bytes that a large block takes there.
    fn footprint(&self, layout: Layout) -> usize {
        match *self {
            Self::Small(_) => 0,
            Self::Arena => layout.size(),
            Self::Frames(count, _) => count * PAGE_SIZE,
        }
    }
}

#[cfg(test)]
mod tests;
