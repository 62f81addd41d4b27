//! Memory as a device sees it.
//!
//! The direct map and the image window are physically contiguous each, and a Rust allocation lies
//! in one of them, so a buffer is one range of physical addresses wherever it is: nothing is
//! copied to make it reachable.

use alloc::alloc::{alloc_zeroed, dealloc};
use core::{alloc::Layout, ptr::NonNull};

use mayfly_arch::{PAGE_SIZE, mmu};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// The `virtio-drivers` crate's view of this machine.
pub(crate) struct DirectMap;

/// Whether a device can reach `buffer`.
#[inline]
pub(crate) fn is_reachable(buffer: &[u8]) -> bool {
    mmu::virt_to_phys(buffer.as_ptr()).is_some()
}

fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}

// SAFETY: `dma_alloc` returns whole zeroed pages of the heap, which nobody else has until
// `dma_dealloc`.
unsafe impl Hal for DirectMap {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        const FAILED: (PhysAddr, NonNull<u8>) = (0, NonNull::dangling());
        let Some(layout) = layout(pages).filter(|layout| layout.size() > 0) else {
            return FAILED;
        };
        // SAFETY: the size is not zero.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            return FAILED;
        };
        match mmu::virt_to_phys(start.as_ptr()) {
            Some(address) => (address.0, start),
            None => {
                // SAFETY: allocated above with this layout.
                unsafe { dealloc(start.as_ptr(), layout) };
                FAILED
            }
        }
    }

    unsafe fn dma_dealloc(_address: PhysAddr, start: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = layout(pages) {
            // SAFETY: the caller passes what `dma_alloc` returned for as many pages.
            unsafe { dealloc(start.as_ptr(), layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(_address: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("the crate's own PCI transport is not used: `pci::transport` maps registers")
    }

    #[inline]
    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        // `queue` has checked that the buffer is reachable. If not, this address is one that no
        // memory answers to: the device fails instead of writing to somebody else's memory.
        const NOWHERE: PhysAddr = u64::MAX - 0xfff;
        mmu::virt_to_phys(buffer.as_ptr().cast::<u8>()).map_or(NOWHERE, |address| address.0)
    }

    #[inline]
    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
