//! Memory that block devices transfer from and into.

use alloc::boxed::Box;
use core::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Smallest unit of transfer of any block device, in bytes.
pub const MIN_SECTOR_SIZE: usize = 512;

/// One unit of transfer. The alignment keeps each sector within a page, which rings that pass
/// pages by grant need.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(512))]
struct Sector([u8; MIN_SECTOR_SIZE]);

/// Memory that a device transfers from or into, a whole number of sectors, aligned to 512 bytes.
///
/// The driver owns it while the request is under way, so that a task that is cancelled cannot free
/// it under the device.
///
/// Not a `Box`, which would promise that nobody else accesses the memory when it moves.
pub struct BlockBuffer(NonNull<[Sector]>);

impl BlockBuffer {
    /// A zeroed buffer of `size` bytes. `None` if there is no memory for it, or if `size` is not a
    /// multiple of [`MIN_SECTOR_SIZE`].
    pub fn zeroed(size: usize) -> Option<Self> {
        if !size.is_multiple_of(MIN_SECTOR_SIZE) {
            return None;
        }
        let sectors = <[Sector]>::new_box_zeroed_with_elems(size / MIN_SECTOR_SIZE).ok()?;
        Some(Self(NonNull::from(Box::leak(sectors))))
    }
}

impl Deref for BlockBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: from a box that was leaked and is this buffer's alone.
        unsafe { self.0.as_ref() }.as_bytes()
    }
}

impl DerefMut for BlockBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive.
        unsafe { self.0.as_mut() }.as_mut_bytes()
    }
}

impl Drop for BlockBuffer {
    fn drop(&mut self) {
        // SAFETY: from a box that was leaked in `zeroed`; nobody else has the pointer.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
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
    fn buffers_are_whole_aligned_sectors() {
        let buffer = BlockBuffer::zeroed(1024).unwrap();
        assert_eq!(buffer.len(), 1024);
        assert_eq!(buffer.as_ptr() as usize % 512, 0);
        assert!(buffer.iter().all(|byte| *byte == 0));
        assert!(BlockBuffer::zeroed(513).is_none());
        assert!(BlockBuffer::zeroed(0).is_some_and(|empty| empty.is_empty()));
    }
}
