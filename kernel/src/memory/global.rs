//! The guest's memory: all frames, and the heap that Rust's collections use.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    ptr::{self, NonNull},
};

use heapless::Vec;
use mayfly_arch::{MAX_REGIONS, PAGE_SIZE, PhysAddr, PhysRange, in_interrupt, mmu};
use mayfly_xen::balloon::Frames;

use super::{
    Stats,
    at_work::{AtWork, is_at_work},
    frames::FrameAllocator,
    heap::Heap,
    late::LateBlocks,
};

struct Memory {
    frames: FrameAllocator,
    heap: Heap,
}

struct Global(UnsafeCell<Memory>);

// SAFETY: there is one vCPU, and `with` refuses to run in an interrupt handler.
unsafe impl Sync for Global {}

#[global_allocator]
static GLOBAL: Global =
    Global(UnsafeCell::new(Memory { frames: FrameAllocator::new(), heap: Heap::new() }));

/// Freed by interrupt handlers.
static LATE: LateBlocks = LateBlocks::new();

impl Global {
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Memory) -> R) -> R {
        if in_interrupt() {
            refuse();
        }
        // SAFETY: this is no interrupt handler.
        unsafe { self.with_tables(f) }
    }

    /// # Safety
    /// Not in an interrupt handler.
    #[inline]
    unsafe fn with_tables<R>(&self, f: impl FnOnce(&mut Memory) -> R) -> R {
        // SAFETY: the one vCPU is here and not in an interrupt handler, and no `f` in this file
        // comes back here, so this is the only reference. If one panics, nobody uses its reference any
        // more, and the report leaves the tables alone (`is_at_work`).
        f(unsafe { &mut *self.0.get() })
    }

    /// What `alloc` does when nothing is at hand, or notes the failure.
    #[cold]
    #[inline(never)]
    fn allocate_slowly(&self, layout: Layout) -> *mut u8 {
        free_late_blocks();
        match self.with(|memory| memory.heap.allocate(layout, &mut memory.frames)) {
            Some(block) => block.as_ptr(),
            None => {
                super::OutOfMemory::new(layout.size(), "the heap");
                ptr::null_mut()
            }
        }
    }
}

#[cold]
#[inline(never)]
fn refuse() -> ! {
    panic!("memory allocated in an interrupt handler");
}

/// Gives the heap what interrupt handlers have freed. Not for them.
#[inline]
pub(crate) fn free_late_blocks() {
    // SAFETY: it was freed with this layout, and only put aside.
    LATE.take(|block, layout| unsafe { GLOBAL.dealloc(block.as_ptr(), layout) });
}

/// Makes the RAM that nothing uses, `BootInfo::memory`, the memory of the guest.
///
/// # Panics
/// When it is called twice.
pub(crate) fn init(ram: &[PhysRange]) {
    let mut regions: Vec<(NonNull<u8>, usize), MAX_REGIONS> = Vec::new();
    for region in ram {
        let frames = usize::try_from(region.size() / PAGE_SIZE as u64).unwrap_or(0);
        // There are as many places as regions in the list.
        let _ = regions.push((mmu::phys_to_virt(region.start()), frames));
    }
    GLOBAL.with(|memory| {
        assert!(memory.frames.total() == 0, "memory::init called twice");
        // SAFETY: this is the first call; the architecture vouches that the regions are whole
        // frames that nothing uses, that they do not overlap and that all of them are mapped.
        unsafe { memory.frames.init(&regions) }
    });
}

/// See [`FrameAllocator::withdraw`].
pub(super) fn withdraw(most: usize, reserve: usize) -> Option<Frames> {
    let _at_work = AtWork::begin();
    let (start, count) = GLOBAL.with(|memory| memory.frames.withdraw(most, reserve))?;
    let first = mmu::virt_to_phys(start.as_ptr())?.0 / PAGE_SIZE as u64;
    Some(Frames { first, count })
}

/// See [`FrameAllocator::restore`].
///
/// # Safety
/// As there.
pub(super) unsafe fn restore(frames: Frames) {
    let _at_work = AtWork::begin();
    let start = mmu::phys_to_virt(PhysAddr(frames.first * PAGE_SIZE as u64));
    // SAFETY: the same conditions.
    GLOBAL.with(|memory| unsafe { memory.frames.restore(start, frames.count) });
}

pub(super) fn stats() -> Stats {
    if in_interrupt() || is_at_work() {
        return Stats::default();
    }
    GLOBAL.with(|memory| Stats {
        total_frames: memory.frames.total(),
        free_frames: memory.frames.free_frames(),
        longest_free_run: memory.frames.longest_run(),
        heap_in_use: memory.heap.in_use(),
    })
}

// SAFETY: the heap returns blocks of the layout that is asked for, which nobody else uses until
// they are freed, and it does not unwind.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.with(|memory| memory.heap.take(layout)) {
            Some(block) => block.as_ptr(),
            None => self.allocate_slowly(layout),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: a block that was allocated is not null.
        let block = unsafe { NonNull::new_unchecked(block) };
        if in_interrupt() {
            // SAFETY: the caller gives it up, and the heap's smallest blocks have 16 bytes.
            return unsafe { LATE.put(block, layout) };
        }
        // SAFETY: this is no interrupt handler, and the caller allocated it here with this layout.
        unsafe { self.with_tables(|memory| memory.heap.free(block, layout, &mut memory.frames)) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up to the alignment, does not
        // overflow `isize`.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: as in `dealloc`.
        let is_done = self.with(|memory| unsafe {
            memory.heap.resize(NonNull::new_unchecked(block), layout, new, &mut memory.frames)
        });
        if is_done {
            return block;
        }
        // SAFETY: the caller gives a block of the old layout, and the new one is at least as long
        // as what is copied.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
