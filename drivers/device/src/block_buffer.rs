//! Memory that block devices transfer from and into.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::{
    alloc::Layout,
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    slice,
};

/// Smallest unit of transfer of any block device, in bytes.
pub const MIN_SECTOR_SIZE: usize = 512;

const PAGE_SIZE: usize = 4096;

/// Memory that a device transfers from or into, a whole number of sectors, on pages of its own:
/// where a device is another domain, it is given access to whole pages.
///
/// The driver owns it while the request is under way, so that a task that is cancelled cannot free
/// it under the device.
///
/// Not a `Box`, which would promise that nobody else accesses the memory when it moves.
pub struct BlockBuffer {
    pages: NonNull<u8>,
    size: usize,
}

impl BlockBuffer {
    /// A zeroed buffer of `size` bytes. `None` if there is no memory for it, or if `size` is not a
    /// multiple of [`MIN_SECTOR_SIZE`].
    pub fn zeroed(size: usize) -> Option<Self> {
        if !size.is_multiple_of(MIN_SECTOR_SIZE) {
            return None;
        }
        // SAFETY: the size is not zero.
        let pages = unsafe { alloc_zeroed(Self::layout(size)?) };
        Some(Self { pages: NonNull::new(pages)?, size })
    }

    /// Its size in bytes. Does not look at the memory, which a device may have at the moment.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Where its first page is. Does not look at the memory either.
    pub fn as_ptr(&self) -> *const u8 {
        self.pages.as_ptr()
    }

    /// Whole pages that hold `size` bytes, and at least one.
    fn layout(size: usize) -> Option<Layout> {
        let size = size.max(1).checked_next_multiple_of(PAGE_SIZE)?;
        Layout::from_size_align(size, PAGE_SIZE).ok()
    }
}

impl Deref for BlockBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: allocated and zeroed in `zeroed`, and this buffer's alone.
        unsafe { slice::from_raw_parts(self.pages.as_ptr(), self.size) }
    }
}

impl DerefMut for BlockBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { slice::from_raw_parts_mut(self.pages.as_ptr(), self.size) }
    }
}

impl Drop for BlockBuffer {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.size) {
            // SAFETY: allocated with this layout in `zeroed`; nobody else has the pointer.
            unsafe { dealloc(self.pages.as_ptr(), layout) }
        }
    }
}

impl fmt::Debug for BlockBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockBuffer({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_whole_sectors_on_pages_of_their_own() {
        let mut buffer = BlockBuffer::zeroed(1024).unwrap();
        assert_eq!(buffer.len(), 1024);
        assert_eq!(buffer.as_ptr() as usize % 4096, 0);
        let other = BlockBuffer::zeroed(4096 + 512).unwrap();
        assert!((buffer.as_ptr() as usize).abs_diff(other.as_ptr() as usize) >= 4096);
        buffer[1023] = 1;
        buffer[1023] = 0;
        assert!(buffer.iter().all(|byte| *byte == 0));
        assert!(BlockBuffer::zeroed(513).is_none());
        assert!(BlockBuffer::zeroed(0).is_some_and(|empty| empty.is_empty()));
    }
}
