//! Buffers that the network path hands from hand to hand without copying.

use alloc::rc::Rc;
use core::{fmt, ptr::NonNull, slice};

/// Where frame buffers come from and return to: a pool of DMA-able, later granted, memory.
///
/// # Safety
/// `allocate` returns initialised storage of `capacity` bytes (the same number for every buffer),
/// aligned to 64, not crossing a page unless the pool was made for that, that nobody else uses
/// until it is passed to `release`.
pub unsafe trait FramePool {
    /// Bytes in every buffer of this pool.
    fn capacity(&self) -> usize;

    /// Takes a buffer out of the pool, or `None` if it is empty and cannot grow.
    fn allocate(&self) -> Option<NonNull<u8>>;

    /// Takes a buffer back.
    ///
    /// # Safety
    /// `storage` came from `allocate` of this pool and is not used any more.
    unsafe fn release(&self, storage: NonNull<u8>);
}

/// One buffer of a [`FramePool`]: bytes `start..end` of it hold a frame, what is before and after
/// is room for headers. Returns to its pool when dropped.
pub struct FrameBuf {
    pool: Rc<dyn FramePool>,
    storage: NonNull<u8>,
    /// Size of the storage. Kept here because asking the pool is an indirect call.
    capacity: usize,
    start: usize,
    end: usize,
}

impl FrameBuf {
    /// A buffer from `pool` with room for `headroom` bytes before the frame and no frame yet.
    /// `None` if the pool is empty or its buffers are smaller than `headroom`.
    pub fn allocate(pool: &Rc<dyn FramePool>, headroom: usize) -> Option<Self> {
        let capacity = pool.capacity();
        if headroom > capacity {
            return None;
        }
        let storage = pool.allocate()?;
        Some(Self { pool: Rc::clone(pool), storage, capacity, start: headroom, end: headroom })
    }

    /// Bytes before the frame.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes after the frame.
    pub fn tailroom(&self) -> usize {
        self.capacity - self.end
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.whole()[self.start..self.end]
    }

    /// The frame, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.start, self.end);
        &mut self.whole_mut()[start..end]
    }

    /// All of the storage, headroom and tailroom included: what a device transfers into.
    pub fn whole(&self) -> &[u8] {
        // SAFETY: the pool promised `capacity` bytes that are this buffer's alone until `release`.
        unsafe { slice::from_raw_parts(self.storage.as_ptr(), self.capacity) }
    }

    /// All of the storage, to be written.
    pub fn whole_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `whole`; `&mut self` makes the access exclusive.
        unsafe { slice::from_raw_parts_mut(self.storage.as_ptr(), self.capacity) }
    }

    /// Makes bytes `start..end` of the storage the frame. Returns whether they lie within it; if
    /// not, nothing changes. The numbers may come from the other end of a ring.
    #[must_use]
    pub fn set_range(&mut self, start: usize, end: usize) -> bool {
        let fits = start <= end && end <= self.capacity;
        if fits {
            (self.start, self.end) = (start, end);
        }
        fits
    }
}

impl Drop for FrameBuf {
    fn drop(&mut self) {
        // SAFETY: the storage came from this pool in `allocate`, and the only references to it
        // borrowed from `self`.
        unsafe { self.pool.release(self.storage) }
    }
}

impl fmt::Debug for FrameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameBuf({} bytes)", self.end - self.start)
    }
}
