//! A pool of frame buffers on pages of the heap.

use alloc::{
    alloc::{alloc_zeroed, dealloc},
    vec::Vec,
};
use core::{
    alloc::Layout,
    cell::{Cell, UnsafeCell},
    ptr::NonNull,
};

use crate::{FramePool, FrameSlot};

const PAGE_SIZE: usize = 4096;

/// Buffers of one size, cut from pages that are taken from the heap when the pool runs dry, up to a
/// limit. Buffers up to a page in size do not cross one; larger ones are contiguous pages.
///
/// Taking and returning a buffer costs a few instructions and no memory: free ones form a list
/// through their slots. Pages go back to the heap with the pool.
pub struct PagePool {
    capacity: usize,
    limit: usize,
    free: Cell<Option<NonNull<FrameSlot>>>,
    chunks: UnsafeCell<Vec<Chunk>>,
}

/// What is taken from the heap at a time: a page, or as many as a buffer needs.
struct Chunk {
    pages: NonNull<u8>,
    /// The slots of its buffers. They do not move when the list of chunks grows.
    slots: Vec<FrameSlot>,
}

impl PagePool {
    /// A pool of at most `limit` buffers of `capacity` bytes, none of them allocated yet.
    ///
    /// # Panics
    /// If `capacity` is not a power of two of at least 64.
    pub const fn new(capacity: usize, limit: usize) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= 64);
        Self { capacity, limit, free: Cell::new(None), chunks: UnsafeCell::new(Vec::new()) }
    }

    fn layout(&self) -> Layout {
        let size = self.capacity.max(PAGE_SIZE);
        match Layout::from_size_align(size, PAGE_SIZE) {
            Ok(layout) => layout,
            Err(_) => unreachable!("a power of two that `new` has checked"),
        }
    }

    /// Takes one more chunk from the heap. Returns whether that worked.
    #[cold]
    fn grow(&self) -> bool {
        let layout = self.layout();
        // SAFETY: the only reference to the list, which nothing called below uses: the pool is not
        // shared with other threads, and the heap does not call it.
        let chunks = unsafe { &mut *self.chunks.get() };
        let buffers = layout.size() / self.capacity;
        let mut slots = Vec::new();
        let is_full = (chunks.len() + 1) * buffers > self.limit;
        if is_full || chunks.try_reserve(1).is_err() || slots.try_reserve_exact(buffers).is_err() {
            return false;
        }
        // SAFETY: the size is not zero.
        let Some(pages) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            return false;
        };
        for index in 0..buffers {
            // SAFETY: the buffers are disjoint parts of the zeroed pages, aligned to their size,
            // and the pages are freed with the slots.
            slots.push(unsafe { FrameSlot::new(pages.add(index * self.capacity), self.capacity) });
        }
        for slot in &mut slots {
            // SAFETY: new, and nobody else's.
            unsafe { self.release(NonNull::from(slot)) }
        }
        chunks.push(Chunk { pages, slots });
        true
    }
}

// SAFETY: a slot is on the free list exactly when nobody uses it, and stays in its chunk's vector,
// which is full and so never moves its contents, until the pool is dropped.
unsafe impl FramePool for PagePool {
    fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    fn allocate(&self) -> Option<NonNull<FrameSlot>> {
        if self.free.get().is_none() && !self.grow() {
            return None;
        }
        let slot = self.free.get()?;
        // SAFETY: a slot on the free list is the pool's alone.
        self.free.set(unsafe { slot.as_ref() }.next_free);
        Some(slot)
    }

    #[inline]
    unsafe fn release(&self, mut slot: NonNull<FrameSlot>) {
        // SAFETY: the caller gives the slot up.
        unsafe { slot.as_mut() }.next_free = self.free.replace(Some(slot));
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        let layout = self.layout();
        for chunk in self.chunks.get_mut().drain(..) {
            drop(chunk.slots);
            // SAFETY: allocated with this layout; every buffer is back, because each one that is
            // out holds a reference to the pool.
            unsafe { dealloc(chunk.pages.as_ptr(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;

    use super::*;
    use crate::FrameBuf;

    #[test]
    fn buffers_are_disjoint_and_come_back() {
        let pool: Rc<dyn FramePool> = Rc::new(PagePool::new(2048, 4));
        let mut out: Vec<_> = (0..4).map(|_| FrameBuf::allocate(&pool, 16).unwrap()).collect();
        assert!(FrameBuf::allocate(&pool, 16).is_none());
        for (index, buffer) in out.iter_mut().enumerate() {
            buffer.whole_mut().fill(index as u8);
        }
        for (index, buffer) in out.iter().enumerate() {
            assert!(buffer.whole().iter().all(|byte| *byte == index as u8));
            let start = buffer.whole().as_ptr() as usize;
            assert_eq!(start / PAGE_SIZE, (start + 2047) / PAGE_SIZE);
        }
        out.pop();
        assert!(FrameBuf::allocate(&pool, 2048).is_some());
        assert!(FrameBuf::allocate(&pool, 2049).is_none());
    }

    #[test]
    fn the_last_holder_returns_a_shared_frame() {
        let pool: Rc<dyn FramePool> = Rc::new(PagePool::new(4096, 1));
        for others in [0, 1, 16] {
            let mut buffer = FrameBuf::allocate(&pool, 0).unwrap();
            assert!(buffer.set_range(10, 13));
            buffer.bytes_mut().copy_from_slice(b"abc");
            let shared = buffer.share();
            let mut holders: Vec<_> = (0..others).map(|_| shared.clone()).collect();
            holders.push(shared);
            for holder in holders {
                assert!(FrameBuf::allocate(&pool, 0).is_none());
                assert_eq!(holder.bytes(), b"abc");
            }
        }
        assert!(FrameBuf::allocate(&pool, 0).is_some());
    }

    #[test]
    fn large_buffers_are_whole_pages() {
        let pool = PagePool::new(65536, 2);
        let pool: Rc<dyn FramePool> = Rc::new(pool);
        let first = FrameBuf::allocate(&pool, 0).unwrap();
        assert_eq!(first.whole().len(), 65536);
        assert_eq!(first.whole().as_ptr() as usize % PAGE_SIZE, 0);
        let place = first.whole().as_ptr();
        drop(first);
        assert_eq!(FrameBuf::allocate(&pool, 0).unwrap().whole().as_ptr(), place);
    }
}
