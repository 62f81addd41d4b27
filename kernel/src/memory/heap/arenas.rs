//! Blocks between 2 and 32 KiB that would waste part of a page, on `linked_list_allocator`.
//!
//! Its list walk is short, because each list covers only an arena of 64 KiB. An arena lies at a
//! multiple of its size, so the arena of a block is found by masking the block's address.

use core::{alloc::Layout, ptr::NonNull};

use linked_list_allocator::Heap as HoleList;
use mayfly_arch::PAGE_SIZE;

use crate::memory::source::FrameSource;

/// Frames in an arena.
pub(super) const ARENA_FRAMES: usize = 16;

const ARENA: usize = ARENA_FRAMES * PAGE_SIZE;

/// Room for an `Arena` in front of the blocks.
const HEADER: usize = 128;

/// Arenas that are tried before a new one is made.
const TRIES: usize = 4;

/// What an arena begins with.
struct Arena {
    holes: HoleList,
    next: Option<NonNull<Arena>>,
    previous: Option<NonNull<Arena>>,
}

const _: () = assert!(size_of::<Arena>() <= HEADER);

/// All arenas; where there was room last comes first.
pub(super) struct Arenas {
    first: Option<NonNull<Arena>>,
}

impl Arenas {
    pub(super) const fn new() -> Self {
        Self { first: None }
    }

    /// Takes a block, of less than half an arena.
    pub(super) fn allocate(
        &mut self,
        layout: Layout,
        frames: &mut impl FrameSource,
    ) -> Option<NonNull<u8>> {
        if let Some(block) = self.allocate_from(TRIES, layout) {
            return Some(block);
        }
        match frames.allocate(ARENA_FRAMES, ARENA_FRAMES) {
            Some(start) => {
                // SAFETY: the frames were just allocated, for this list alone.
                unsafe { self.add(start.cast()) };
                self.allocate_from(1, layout)
            }
            None => self.allocate_from(usize::MAX, layout),
        }
    }

    fn allocate_from(&mut self, tries: usize, layout: Layout) -> Option<NonNull<u8>> {
        let mut next = self.first;
        for _ in 0..tries {
            let mut arena = next?;
            // SAFETY: an arena in the list belongs to it and begins with an `Arena`.
            let header = unsafe { arena.as_mut() };
            if header.holes.free() >= layout.size()
                && let Ok(block) = header.holes.allocate_first_fit(layout)
            {
                // SAFETY: the arena is in the list.
                unsafe { self.move_to_front(arena) };
                return Some(block);
            }
            next = header.next;
        }
        None
    }

    /// Gives a block back. An arena without blocks in use goes back to `frames`.
    ///
    /// # Safety
    /// The block was allocated here with this layout and is not used any more.
    pub(super) unsafe fn free(
        &mut self,
        block: NonNull<u8>,
        layout: Layout,
        frames: &mut impl FrameSource,
    ) {
        let offset = block.addr().get() & (ARENA - 1);
        // SAFETY: an arena lies at a multiple of its size and begins with an `Arena`; the block
        // was allocated from this one.
        unsafe {
            let mut arena = block.sub(offset).cast::<Arena>();
            let header = arena.as_mut();
            header.holes.deallocate(block, layout);
            if header.holes.used() == 0 {
                self.release(arena, frames);
            }
        }
    }

    /// # Safety
    /// The arena's frames belong to this list and it is not in it.
    unsafe fn add(&mut self, arena: NonNull<Arena>) {
        // SAFETY: the memory behind the header belongs to the arena, is aligned, and is given to
        // one list of holes only.
        unsafe {
            let holes = HoleList::new(arena.cast::<u8>().add(HEADER).as_ptr(), ARENA - HEADER);
            arena.write(Arena { holes, next: None, previous: None });
            self.link(arena);
        }
    }

    /// # Safety
    /// The arena is in the list and no block of it is in use.
    unsafe fn release(&mut self, arena: NonNull<Arena>, frames: &mut impl FrameSource) {
        // SAFETY: `allocate` took the frames, and nobody uses them any more.
        unsafe {
            self.unlink(arena);
            frames.free(arena.cast(), ARENA_FRAMES);
        }
    }

    /// # Safety
    /// The arena is in the list.
    unsafe fn move_to_front(&mut self, arena: NonNull<Arena>) {
        if self.first != Some(arena) {
            // SAFETY: the arena is in the list.
            unsafe {
                self.unlink(arena);
                self.link(arena);
            }
        }
    }

    /// # Safety
    /// The arena belongs to the list and is not in it.
    unsafe fn link(&mut self, mut arena: NonNull<Arena>) {
        // SAFETY: the arena and the first one begin with an `Arena`.
        unsafe {
            (arena.as_mut().next, arena.as_mut().previous) = (self.first, None);
            if let Some(mut next) = self.first {
                next.as_mut().previous = Some(arena);
            }
        }
        self.first = Some(arena);
    }

    /// # Safety
    /// The arena is in the list.
    unsafe fn unlink(&mut self, arena: NonNull<Arena>) {
        // SAFETY: the arena and its neighbours are in this list, so they begin with an `Arena`.
        unsafe {
            let Arena { next, previous, .. } = *arena.as_ref();
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => self.first = next,
            }
        }
    }
}
