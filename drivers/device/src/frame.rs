//! Buffers that the network path hands from hand to hand without copying.

use alloc::rc::Rc;
use core::{cell::Cell, fmt, mem, ptr::NonNull, slice};

/// Where frame buffers come from and return to: a pool of DMA-able, later granted, memory.
///
/// # Safety
/// `allocate` returns a slot that nobody else uses until it is passed to `release`; it stays where
/// it is as long as the pool exists. Its storage is as [`FrameSlot::new`] was promised.
pub unsafe trait FramePool {
    /// Bytes in every buffer of this pool.
    fn capacity(&self) -> usize;

    /// Takes a buffer out of the pool, or `None` if it is empty and cannot grow.
    fn allocate(&self) -> Option<NonNull<FrameSlot>>;

    /// Takes a buffer back.
    ///
    /// # Safety
    /// `slot` came from `allocate` of this pool and is not used any more.
    unsafe fn release(&self, slot: NonNull<FrameSlot>);
}

/// What a pool keeps for each of its buffers: where it is, and, while it is in use, what is in it.
/// Kept apart from the buffer itself, which devices write to.
pub struct FrameSlot {
    storage: NonNull<u8>,
    capacity: usize,
    /// `start <= end <= capacity`.
    start: usize,
    end: usize,
    /// How many hold the buffer, while it is a [`SharedFrame`].
    holders: Cell<usize>,
    /// The pool, while the buffer is in use.
    pool: Option<Rc<dyn FramePool>>,
    /// For the pool, while it is not.
    pub(crate) next_free: Option<NonNull<FrameSlot>>,
}

impl FrameSlot {
    /// The slot of the buffer at `storage`.
    ///
    /// # Safety
    /// From there on, `capacity` bytes are initialised memory that nobody else uses, aligned to 64,
    /// not crossing a page unless the pool was made for that, for as long as the slot exists.
    pub const unsafe fn new(storage: NonNull<u8>, capacity: usize) -> Self {
        let holders = Cell::new(0);
        Self { storage, capacity, start: 0, end: 0, holders, pool: None, next_free: None }
    }
}

/// One buffer of a [`FramePool`]: bytes `start..end` of it hold a frame, what is before and after
/// is room for headers. Returns to its pool when dropped.
///
/// It is a single pointer, so that handing it on costs next to nothing.
pub struct FrameBuf(NonNull<FrameSlot>);

impl FrameBuf {
    /// A buffer from `pool` with room for `headroom` bytes before the frame and no frame yet.
    /// `None` if the pool is empty or its buffers are smaller than `headroom`.
    #[inline]
    pub fn allocate(pool: &Rc<dyn FramePool>, headroom: usize) -> Option<Self> {
        let mut buffer = Self(pool.allocate()?);
        let slot = buffer.slot_mut();
        slot.pool = Some(Rc::clone(pool));
        (slot.start, slot.end) = (0, 0);
        buffer.set_range(headroom, headroom).then_some(buffer)
    }

    #[inline]
    fn slot(&self) -> &FrameSlot {
        // SAFETY: the pool promises that the slot is this buffer's alone until `release`.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn slot_mut(&mut self) -> &mut FrameSlot {
        // SAFETY: as in `slot`; `&mut self` makes the access exclusive.
        unsafe { self.0.as_mut() }
    }

    /// Bytes before the frame.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.slot().start
    }

    /// Bytes after the frame.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.slot().capacity - self.slot().end
    }

    /// The frame.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let slot = self.slot();
        // SAFETY: `start <= end <= capacity`, and the storage is as `whole` says.
        unsafe {
            slice::from_raw_parts(slot.storage.as_ptr().add(slot.start), slot.end - slot.start)
        }
    }

    /// The frame, to be written.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let slot = self.slot_mut();
        let (start, length) = (slot.start, slot.end - slot.start);
        // SAFETY: as in `bytes`; `&mut self` makes the access exclusive.
        unsafe { slice::from_raw_parts_mut(slot.storage.as_ptr().add(start), length) }
    }

    /// All of the storage, headroom and tailroom included: what a device transfers into.
    #[inline]
    pub fn whole(&self) -> &[u8] {
        let slot = self.slot();
        // SAFETY: `FrameSlot::new` was promised `capacity` initialised bytes, which are this
        // buffer's alone until `release`.
        unsafe { slice::from_raw_parts(slot.storage.as_ptr(), slot.capacity) }
    }

    /// All of the storage, to be written.
    #[inline]
    pub fn whole_mut(&mut self) -> &mut [u8] {
        let slot = self.slot_mut();
        // SAFETY: as in `whole`; `&mut self` makes the access exclusive.
        unsafe { slice::from_raw_parts_mut(slot.storage.as_ptr(), slot.capacity) }
    }

    /// Makes bytes `start..end` of the storage the frame. Returns whether they lie within it; if
    /// not, nothing changes. The numbers may come from the other end of a ring.
    #[must_use]
    #[inline]
    pub fn set_range(&mut self, start: usize, end: usize) -> bool {
        let slot = self.slot_mut();
        let fits = start <= end && end <= slot.capacity;
        if fits {
            (slot.start, slot.end) = (start, end);
        }
        fits
    }

    /// Makes it a frame that several may hold, and that nobody changes any more.
    pub fn share(self) -> SharedFrame {
        let slot = self.0;
        mem::forget(self);
        let shared = SharedFrame(slot);
        shared.slot().holders.set(1);
        shared
    }
}

/// A frame that several hold: each page of it may be on its way by itself. Returns to its pool with
/// the last holder.
pub struct SharedFrame(NonNull<FrameSlot>);

impl SharedFrame {
    #[inline]
    fn slot(&self) -> &FrameSlot {
        // SAFETY: `FrameBuf::share` gave the slot to the holders, who only read it until the last of
        // them gives it back.
        unsafe { self.0.as_ref() }
    }

    /// The frame.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let slot = self.slot();
        // SAFETY: as in `FrameBuf::bytes`.
        unsafe {
            slice::from_raw_parts(slot.storage.as_ptr().add(slot.start), slot.end - slot.start)
        }
    }
}

impl Clone for SharedFrame {
    #[inline]
    fn clone(&self) -> Self {
        let holders = &self.slot().holders;
        // A holder takes more than a byte of memory, so this does not overflow, unless they are
        // forgotten; then it stays where it is, and the buffer is never returned.
        holders.set(holders.get().saturating_add(1));
        Self(self.0)
    }
}

impl Drop for SharedFrame {
    #[inline]
    fn drop(&mut self) {
        let holders = self.slot().holders.get();
        if holders == 1 {
            drop(FrameBuf(self.0));
        } else if holders < usize::MAX {
            self.slot().holders.set(holders - 1);
        }
    }
}

impl fmt::Debug for SharedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedFrame({} bytes)", self.bytes().len())
    }
}

impl Drop for FrameBuf {
    #[inline]
    fn drop(&mut self) {
        if let Some(pool) = self.slot_mut().pool.take() {
            // SAFETY: the slot came from this pool in `allocate`, and the only references to it
            // borrowed from `self`.
            unsafe { pool.release(self.0) }
        }
    }
}

impl fmt::Debug for FrameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameBuf({} bytes)", self.bytes().len())
    }
}
