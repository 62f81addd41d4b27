//! Memory as a device sees it.
//!
//! The direct map and the image window are physically contiguous each, and a Rust allocation lies
//! in one of them, so a buffer is one range of physical addresses wherever it is: nothing is
//! copied to make it reachable.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::{alloc::Layout, ptr::NonNull};

use mayfly_arch::{PAGE_SIZE, PhysAddr, mmu};

/// Where a device finds the buffer that starts at `start`, or `None` if it cannot reach it.
#[inline]
pub(crate) fn physical(start: *const u8) -> Option<PhysAddr> {
    mmu::virt_to_phys(start)
}

/// Whole zeroed pages that a device can reach.
pub(crate) struct Pages {
    start: NonNull<u8>,
    address: PhysAddr,
    layout: Layout,
}

impl Pages {
    /// As many pages as hold `size` bytes, or `None` if there is no memory for them.
    pub(crate) fn zeroed(size: usize) -> Option<Self> {
        let layout = Layout::from_size_align(size.next_multiple_of(PAGE_SIZE), PAGE_SIZE).ok()?;
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let Some(address) = mmu::virt_to_phys(start.as_ptr()) else {
            // SAFETY: allocated above with this layout.
            unsafe { dealloc(start.as_ptr(), layout) };
            return None;
        };
        Some(Self { start, address, layout })
    }

    /// Their first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Where a device finds it.
    pub(crate) fn address(&self) -> PhysAddr {
        self.address
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}
