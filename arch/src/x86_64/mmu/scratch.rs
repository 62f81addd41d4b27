//! One page of address space through which a frame that is mapped nowhere is read or cleared: how
//! start_info is read before RAM is mapped, and how a frame becomes an empty table.

use core::ptr;

use super::tables::{self, Flags};
use crate::{PAGE_SIZE, PhysAddr, start_info::PhysicalMemory};

/// Maps `frame` at the scratch page while `f` runs with its address.
fn with_frame<R>(frame: PhysAddr, flags: Flags, f: impl FnOnce(*mut u8) -> R) -> R {
    assert!(!super::is_sealed(), "the scratch page is gone once page tables are sealed");
    let page = crate::image::tables().start;
    // SAFETY: not sealed. The page table covers this address by its making (linker/x86_64.ld), and
    // nothing but this function uses it. Before RAM is mapped no reference into the frame exists;
    // later only frames come here that are going to be tables, to which none exist either.
    unsafe { tables::set_page(page, frame.frame_start().0 | flags.bits()) };
    let result = f(ptr::with_exposed_provenance_mut(page));
    // SAFETY: as above; `f` has ended, and gave no reference to the page away.
    unsafe { tables::set_page(page, 0) };
    result
}

/// Clears a frame that is mapped nowhere.
pub(super) fn clear(frame: PhysAddr) {
    with_frame(frame, Flags::READ_WRITE, |page| {
        // SAFETY: the page is mapped and writable.
        unsafe { page.write_bytes(0, PAGE_SIZE) }
    });
}

/// Physical memory before it is mapped, up to what this processor can address.
pub(in crate::machine) struct Unmapped {
    /// First address that no page table entry can hold.
    pub(in crate::machine) limit: PhysAddr,
}

impl PhysicalMemory for Unmapped {
    fn read(&self, address: PhysAddr, into: &mut [u8]) -> bool {
        let Some(end) = address.0.checked_add(into.len() as u64) else { return false };
        if end > self.limit.0 {
            return false;
        }
        let mut address = address.0;
        let mut rest = into;
        while !rest.is_empty() {
            let offset = (address % PAGE_SIZE as u64) as usize;
            let (part, tail) = rest.split_at_mut(rest.len().min(PAGE_SIZE - offset));
            with_frame(PhysAddr(address), Flags::READ_ONLY, |page| {
                // SAFETY: `offset` plus the length of `part` is at most the size of the page, which
                // is mapped, and `part` is a buffer of ours, elsewhere.
                unsafe { page.add(offset).copy_to_nonoverlapping(part.as_mut_ptr(), part.len()) }
            });
            address += part.len() as u64;
            rest = tail;
        }
        true
    }
}
