//! A pool of frame buffers on pages of the heap.

use alloc::{alloc::alloc_zeroed, alloc::dealloc, vec::Vec};
use core::{
    alloc::Layout,
    cell::{Cell, RefCell},
    ptr::NonNull,
};

use crate::FramePool;

const PAGE_SIZE: usize = 4096;

/// Buffers of one size, cut from pages that are taken from the heap when the pool runs dry, up to a
/// limit. Buffers up to a page in size do not cross one; larger ones are contiguous pages.
///
/// Free buffers form a list through their first bytes, so taking and returning one costs a few
/// instructions and no memory. Pages go back to the heap with the pool.
pub struct PagePool {
    capacity: usize,
    limit: usize,
    free: Cell<Option<NonNull<FreeBuffer>>>,
    chunks: RefCell<Vec<NonNull<u8>>>,
}

struct FreeBuffer {
    next: Option<NonNull<FreeBuffer>>,
}

impl PagePool {
    /// A pool of at most `limit` buffers of `capacity` bytes, none of them allocated yet.
    ///
    /// # Panics
    /// If `capacity` is not a power of two of at least 64.
    pub const fn new(capacity: usize, limit: usize) -> Self {
        assert!(capacity.is_power_of_two() && capacity >= 64);
        Self { capacity, limit, free: Cell::new(None), chunks: RefCell::new(Vec::new()) }
    }

    /// Bytes that the pool holds, in use or free.
    pub fn footprint(&self) -> usize {
        self.chunks.borrow().len() * self.chunk().size()
    }

    /// What is taken from the heap at a time.
    fn chunk(&self) -> Layout {
        let size = self.capacity.max(PAGE_SIZE);
        match Layout::from_size_align(size, PAGE_SIZE) {
            Ok(layout) => layout,
            Err(_) => unreachable!("a power of two that `new` has checked"),
        }
    }

    /// Takes one more chunk from the heap. Returns whether that worked.
    #[cold]
    fn grow(&self) -> bool {
        let layout = self.chunk();
        let mut chunks = self.chunks.borrow_mut();
        let buffers = layout.size() / self.capacity;
        if (chunks.len() + 1) * buffers > self.limit || chunks.try_reserve(1).is_err() {
            return false;
        }
        // SAFETY: the size is not zero.
        let Some(chunk) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            return false;
        };
        chunks.push(chunk);
        for index in 0..buffers {
            // SAFETY: the offset stays within the chunk, and nobody else knows this memory.
            unsafe { self.release(chunk.add(index * self.capacity)) }
        }
        true
    }
}

// SAFETY: chunks are aligned to a page and disjoint, buffers in a chunk are disjoint and aligned to
// their size of at least 64, and a buffer is on the free list exactly when nobody uses it. All of
// it was zeroed once, so it is initialised.
unsafe impl FramePool for PagePool {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn allocate(&self) -> Option<NonNull<u8>> {
        if self.free.get().is_none() && !self.grow() {
            return None;
        }
        let buffer = self.free.get()?;
        // SAFETY: a buffer on the free list holds a `FreeBuffer`, which `release` wrote.
        self.free.set(unsafe { buffer.as_ref() }.next);
        Some(buffer.cast())
    }

    unsafe fn release(&self, storage: NonNull<u8>) {
        let buffer = storage.cast::<FreeBuffer>();
        // SAFETY: the caller gives up a buffer of at least 64 bytes, aligned to as much.
        unsafe { buffer.write(FreeBuffer { next: self.free.get() }) }
        self.free.set(Some(buffer));
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        let layout = self.chunk();
        for chunk in self.chunks.get_mut().drain(..) {
            // SAFETY: allocated with this layout; every buffer is back, because each one that is
            // out holds a reference to the pool.
            unsafe { dealloc(chunk.as_ptr(), layout) }
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
    fn large_buffers_are_whole_pages() {
        let pool = PagePool::new(65536, 2);
        let first = pool.allocate().unwrap();
        assert_eq!(first.as_ptr() as usize % PAGE_SIZE, 0);
        assert_eq!(pool.footprint(), 65536);
        // SAFETY: just allocated from this pool.
        unsafe { pool.release(first) };
        assert_eq!(pool.allocate(), Some(first));
    }
}
