//! Another domain, which maps pages that it was granted.

extern crate std;

use std::{cell::RefCell, collections::BTreeMap, thread_local};

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use mayfly_arch::{PAGE_SIZE, PhysAddr, mmu};

use super::super::{Access, DomainId, GrantRef, GrantTable};

const PERMIT_ACCESS: u32 = 1 << 0;
const READ_ONLY: u32 = 1 << 2;
const READING: u32 = 1 << 3;
const WRITING: u32 = 1 << 4;

thread_local! {
    /// The frames that were granted, by their numbers in an entry.
    static FRAMES: RefCell<BTreeMap<u32, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// The number of a frame in an entry, which has too few bits for those of the host.
pub(in crate::grants) fn entry_frame(frame: u64) -> Option<u32> {
    let number = frame as u32;
    FRAMES.with_borrow_mut(|frames| frames.insert(number, frame));
    Some(number)
}

/// A page that this guest has granted, mapped by the other domain.
pub(crate) struct PeerPage {
    table: &'static GrantTable,
    reference: GrantRef,
    start: *mut u8,
    access: Access,
}

impl PeerPage {
    /// Maps a page, as Xen does it for `domain`. `None` if it is not granted.
    pub(crate) fn map(
        table: &'static GrantTable,
        domain: DomainId,
        reference: GrantRef,
        access: Access,
    ) -> Option<Self> {
        let entry = table.entry(reference)?;
        let header = entry.header.load(Ordering::SeqCst);
        let is_allowed = header & PERMIT_ACCESS != 0
            // A second mapping of the same page is not counted here.
            && header & (READING | WRITING) == 0
            && header >> 16 == u32::from(domain.0)
            && (access == Access::ReadOnly || header & READ_ONLY == 0);
        if !is_allowed {
            return None;
        }
        let writing = if access == Access::ReadWrite { WRITING } else { 0 };
        entry.header.fetch_or(READING | writing, Ordering::SeqCst);
        let number = entry.frame.load(Ordering::SeqCst);
        let frame = FRAMES.with_borrow(|frames| frames.get(&number).copied())?;
        let start = mmu::phys_to_virt(PhysAddr(frame * PAGE_SIZE as u64)).as_ptr();
        Some(Self { table, reference, start, access })
    }

    /// Where it is.
    pub(in crate::grants) fn start(&self) -> *mut u8 {
        self.start
    }

    /// The byte at `offset`.
    pub(crate) fn byte(&self, offset: usize) -> &AtomicU8 {
        assert!(offset < PAGE_SIZE);
        // SAFETY: as in `word`.
        unsafe { &*self.start.cast::<AtomicU8>().add(offset) }
    }

    /// The word at `offset`.
    pub(crate) fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset < PAGE_SIZE);
        // SAFETY: in a page that is kept as long as it is mapped, which the grant table promises;
        // that it does is what is tested.
        unsafe { &*self.start.cast::<AtomicU32>().add(offset / 4) }
    }

    /// Bytes of the page.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= PAGE_SIZE);
        // SAFETY: as in `word`.
        unsafe { self.start.add(offset).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Sets bytes of the page.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= PAGE_SIZE && self.access == Access::ReadWrite);
        // SAFETY: as in `word`.
        unsafe { self.start.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }
}

impl Drop for PeerPage {
    fn drop(&mut self) {
        if let Some(entry) = self.table.entry(self.reference) {
            entry.header.fetch_and(!(READING | WRITING), Ordering::SeqCst);
        }
    }
}
