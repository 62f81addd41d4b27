//! The memory that page tables lie in, and the only window through which it can be written.
//!
//! Tables come from the end of the image and, when memory has so many holes that those do not
//! suffice, from RAM. Both appear one behind the other from `__tables_start` on; neither is part of
//! the direct map. Once [`Pool::seal`] has run, tables cannot be written any more by anybody.

use super::{
    descriptor::{ENTRIES, Permissions, is_valid},
    seal::unmap_window,
    tables::{self, MappingError, TableMemory},
};
use crate::{PAGE_SIZE, PhysAddr, PhysRange, image, machine::registers};

const PAGE: u64 = PAGE_SIZE as u64;

unsafe extern "C" {
    static __tables_spare: u8;
    static __table_window_end: u8;
}

/// Tables in use and still to be had.
pub struct Pool {
    /// The frames of the image's own tables. The first is the root.
    own: PhysRange,
    /// Frames taken from RAM, behind them in the window.
    taken: PhysRange,
    /// The next table, counted from the start of the window.
    next: u64,
}

impl Pool {
    /// The tables of the image that was loaded at `image`, as boot assembly left them.
    ///
    /// # Safety
    /// `image` is where the image was loaded, the window shows its tables, and this is the only
    /// pool that is ever made.
    pub unsafe fn new(image: PhysAddr) -> Self {
        let window = image::tables();
        let start = PhysAddr(image.0 + (window.start - image::all().start) as u64);
        let own = PhysRange::between(start, PhysAddr(start.0 + window.len() as u64));
        let spare = (&raw const __tables_spare).addr() - window.start;
        Self { own, taken: PhysRange::between(own.end(), own.end()), next: spare as u64 }
    }

    /// The table of level 1.
    pub fn root(&self) -> PhysAddr {
        self.own.start()
    }

    /// How many tables are left.
    pub fn left(&self) -> usize {
        ((self.own.size() + self.taken.size() - self.next) / PAGE) as usize
    }

    /// Most tables that [`extend`](Self::extend) can add.
    pub fn room() -> usize {
        ((&raw const __table_window_end).addr() - image::tables().end) / PAGE_SIZE
    }

    /// Adds the frames of `taken`, which must not be mapped anywhere and which nobody else uses.
    ///
    /// # Errors
    /// [`MappingError::BadRange`] if the window is too small for them or was extended before.
    pub fn extend(&mut self, taken: PhysRange) -> Result<(), MappingError> {
        let window = image::tables();
        if !self.taken.is_empty() || taken.size() > Self::room() as u64 * PAGE {
            return Err(MappingError::BadRange);
        }
        let root = self.root();
        tables::map(self, root, window.end as u64, taken, Permissions::ReadWrite)?;
        registers::table_entries_written();
        self.taken = taken;
        Ok(())
    }

    /// Where the window shows `table`.
    fn entries(&self, table: PhysAddr) -> *mut u64 {
        let page = if self.own.contains(table) {
            table.0 - self.own.start().0
        } else {
            assert!(self.taken.contains(table), "page table outside of its window");
            table.0 - self.taken.start().0 + self.own.size()
        };
        core::ptr::with_exposed_provenance_mut(image::tables().start + page as usize)
    }

    /// Unmaps the window. The pool must not be used any more.
    pub fn seal(mut self) {
        let frames = (0..self.own.size() / PAGE)
            .map(move |page| PhysAddr(self.own.start().0 + page * PAGE))
            .chain(
                (0..self.taken.size() / PAGE)
                    .map(move |page| PhysAddr(self.taken.start().0 + page * PAGE)),
            );
        let root = self.root();
        unmap_window(&mut self, root, image::tables().start as u64, frames);
        registers::invalidate_tlb();
    }
}

impl TableMemory for Pool {
    fn read(&self, table: PhysAddr, index: usize) -> u64 {
        assert!(index < ENTRIES);
        // SAFETY: `entries` is the window's page that shows the table, mapped until `seal`
        // consumes the pool, and the index stays in that page.
        unsafe { self.entries(table).add(index).read_volatile() }
    }

    fn write(&mut self, table: PhysAddr, index: usize, descriptor: u64) {
        assert!(index < ENTRIES);
        // SAFETY: as in `read`. Tables are not Rust objects: only the pool, which is the only one,
        // writes them, and the processor reads them. An aligned store of 64 bits is one access.
        unsafe { self.entries(table).add(index).write_volatile(descriptor) }
    }

    fn write_run(
        &mut self,
        table: PhysAddr,
        first: usize,
        count: usize,
        descriptor: u64,
        step: u64,
    ) -> usize {
        assert!(first <= ENTRIES && count <= ENTRIES - first);
        // SAFETY: as in `read`; it stays in the page or just behind its end.
        let entries = unsafe { self.entries(table).add(first) };
        let mut next = descriptor;
        for written in 0..count {
            // SAFETY: as in `read` and `write`; `first + written` is less than `ENTRIES`.
            unsafe {
                let entry = entries.add(written);
                if is_valid(entry.read_volatile()) {
                    return written;
                }
                entry.write_volatile(next);
            }
            // No address is so large that the sum wraps.
            next = next.wrapping_add(step);
        }
        count
    }

    fn clear(&mut self, table: PhysAddr, first: usize, count: usize) {
        assert!(first <= ENTRIES && count <= ENTRIES - first);
        let entries = self.entries(table);
        for index in first..first + count {
            // SAFETY: as in `read` and `write`; the range ends at the last entry.
            unsafe { entries.add(index).write_volatile(0) };
        }
    }

    fn allocate(&mut self) -> Option<PhysAddr> {
        if self.left() == 0 {
            return None;
        }
        let table = match self.next.checked_sub(self.own.size()) {
            Some(behind) => PhysAddr(self.taken.start().0 + behind),
            None => PhysAddr(self.own.start().0 + self.next),
        };
        self.next += PAGE;
        // SAFETY: the page shows a table that nothing points to yet, see `read`.
        unsafe { registers::zero_page(self.entries(table)) };
        Some(table)
    }
}
