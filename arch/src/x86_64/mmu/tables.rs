//! Page tables (Intel SDM volume 3, 4.5), reached through the recursive slot.
//!
//! Entry [`RECURSIVE_SLOT`] of the PML4 points to the PML4 itself. The processor, walking an address
//! in that slot, takes one step in place, so it ends one level too early: at a page table instead of
//! a page. So every table shows up at an address that can be computed, wherever its frame lies, and
//! one store into that slot takes them all away (`seal`).

use core::{
    ptr,
    sync::atomic::{Ordering, compiler_fence},
};

use bitflags::bitflags;
use x86_64::{VirtAddr, instructions::tlb};

use super::{MapError, scratch};
use crate::{PAGE_SIZE, PhysAddr, PhysRange};

/// The slot of the PML4 that points to itself; `boot.S` fills it in.
pub(super) const RECURSIVE_SLOT: usize = 510;

/// First address of the recursive slot.
pub(super) const RECURSIVE_BASE: usize = usize::MAX << 48 | RECURSIVE_SLOT << 39;
/// End of the recursive slot.
pub(super) const RECURSIVE_END: usize = RECURSIVE_BASE + (1 << 39);

/// Entries in a table.
const ENTRIES: u64 = 512;

/// The bits of an entry that hold a frame's address.
const FRAME_MASK: u64 = 0x000f_ffff_ffff_f000;

bitflags! {
    /// Permission and type bits of an entry.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Flags: u64 {
        const PRESENT = 1 << 0;
        const WRITABLE = 1 << 1;
        const WRITE_THROUGH = 1 << 3;
        const CACHE_DISABLE = 1 << 4;
        /// In a page directory or PDPT: this is a page, not a table.
        const LARGE = 1 << 7;
        const NO_EXECUTE = 1 << 63;

        /// Data that nobody writes.
        const READ_ONLY = Self::PRESENT.bits() | Self::NO_EXECUTE.bits();
        /// Ordinary memory.
        const READ_WRITE = Self::READ_ONLY.bits() | Self::WRITABLE.bits();
        /// Registers: uncached, by entry 3 of the PAT as it is after reset.
        const DEVICE =
            Self::READ_WRITE.bits() | Self::WRITE_THROUGH.bits() | Self::CACHE_DISABLE.bits();
        /// A table; the entries below it decide.
        const TABLE = Self::PRESENT.bits() | Self::WRITABLE.bits();
    }
}

/// The level of a table, which says how large the pages are that its entries map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Page table: 4 KiB pages.
    Page = 1,
    /// Page directory: 2 MiB pages.
    Large = 2,
    /// Page directory pointer table: 1 GiB pages.
    Huge = 3,
    /// PML4: no pages.
    Top = 4,
}

impl Level {
    /// The levels from the top to this one, exclusive.
    fn above(self) -> impl Iterator<Item = Level> {
        [Self::Top, Self::Huge, Self::Large].into_iter().filter(move |&level| level > self)
    }

    /// Bytes that an entry of this level covers.
    pub(super) const fn size(self) -> u64 {
        (PAGE_SIZE as u64) << (9 * (self as u32 - 1))
    }
}

/// Where the entry of `level` that translates `address` appears in the recursive slot.
pub(super) fn entry(address: usize, level: Level) -> *mut u64 {
    let mut address = address;
    for _ in 0..level as u32 {
        address = RECURSIVE_BASE | ((address & (usize::MAX >> 16)) >> 9) & !7;
    }
    ptr::with_exposed_provenance_mut(address)
}

/// Reads the entry of `level` for `address`.
///
/// # Safety
/// The tables are not sealed, and the entries of all higher levels are tables.
unsafe fn read(address: usize, level: Level) -> u64 {
    // SAFETY: as the caller says, the recursive slot leads to this entry. Nothing but this module
    // and the processor, which may set accessed and dirty bits, looks at it.
    unsafe { entry(address, level).read_volatile() }
}

/// The page-table entry for `address`, if all tables down to it exist.
///
/// # Safety
/// The tables are not sealed.
pub(super) unsafe fn look_up(address: usize) -> Option<u64> {
    for level in [Level::Top, Level::Huge, Level::Large, Level::Page] {
        // SAFETY: the caller vouches for the slot; the loop got here through tables only.
        let value = unsafe { read(address, level) };
        let flags = Flags::from_bits_truncate(value);
        if !flags.contains(Flags::PRESENT) {
            return None;
        }
        if level == Level::Page || flags.contains(Flags::LARGE) {
            return Some(value);
        }
    }
    None
}

/// The frame that an entry points to.
pub(super) const fn frame_of(entry: u64) -> PhysAddr {
    PhysAddr(entry & FRAME_MASK)
}

/// Replaces the page-table entry for one page, whose table exists, and forgets the old one.
///
/// # Safety
/// The tables are not sealed, the table exists, and nothing uses the page as it was before. The new
/// mapping gives no reference an alias that Rust forbids.
pub(super) unsafe fn set_page(page: usize, value: u64) {
    // SAFETY: the caller vouches for the entry.
    unsafe { entry(page, Level::Page).write_volatile(value) };
    tlb::flush(VirtAddr::new_truncate(page as u64));
}

/// Drops an entry of the PML4, and all translations with it.
///
/// # Safety
/// The tables are not sealed, and nothing uses an address in the slot any more.
pub(super) unsafe fn clear_slot(slot: usize) {
    // SAFETY: the entry of the PML4 for this slot; the caller vouches for the consequences.
    unsafe { entry(slot << 39, Level::Top).write_volatile(0) };
    tlb::flush_all();
}

/// A stretch of equal pages whose entries lie in one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) level: Level,
    pub(super) start: PhysAddr,
    pub(super) pages: u64,
}

/// Cuts `range`, whole frames mapped at an address that is congruent to it, into runs of pages that
/// are as large as fits and at most of level `largest`.
pub(super) fn runs(range: PhysRange, largest: Level) -> impl Iterator<Item = Run> {
    let mut start = range.start().0;
    let end = range.end().0;
    core::iter::from_fn(move || {
        let left = end.checked_sub(start).filter(|&left| left > 0)?;
        let level = [Level::Huge, Level::Large]
            .into_iter()
            .filter(|&level| level <= largest)
            .find(|level| start.is_multiple_of(level.size()) && left >= level.size())
            .unwrap_or(Level::Page);
        // The table's end is also where a larger page may begin.
        let in_table = ENTRIES - start / level.size() % ENTRIES;
        let run = Run { level, start: PhysAddr(start), pages: in_table.min(left / level.size()) };
        start += run.pages * level.size();
        Some(run)
    })
}

/// Frames for tables that do not exist yet, and the only code that makes them.
pub(super) struct Tables {
    /// All frames that were set aside, the image's own excepted.
    pool: PhysRange,
    /// What is left, in the order in which it is used.
    spare: [PhysRange; 2],
}

impl Tables {
    /// Makes new tables from a frame of the image and from a pool of frames.
    pub(super) const fn new(first: PhysRange, pool: PhysRange) -> Self {
        Self { pool, spare: [first, pool] }
    }

    /// Whether `range` touches a frame of the pool, which is a table or may become one.
    pub(super) fn own(&self, range: PhysRange) -> bool {
        self.pool.overlaps(range)
    }

    /// Maps a run at `address`, which is congruent to it in the size of its pages.
    ///
    /// # Safety
    /// The tables are not sealed, nothing is mapped at these addresses, and the mapping gives no
    /// reference an alias that Rust forbids.
    pub(super) unsafe fn map(
        &mut self,
        address: usize,
        run: Run,
        flags: Flags,
    ) -> Result<(), MapError> {
        for level in run.level.above() {
            // SAFETY: the caller vouches for the slot, the turns before this one for the tables.
            if unsafe { read(address, level) } == 0 {
                let frame = self.take().ok_or(MapError::OutOfTables)?;
                scratch::clear(frame);
                // SAFETY: as above. The new table is empty, so that nothing becomes mapped.
                unsafe { entry(address, level).write_volatile(frame.0 | Flags::TABLE.bits()) };
            }
        }
        let large = if run.level == Level::Page { Flags::empty() } else { Flags::LARGE };
        let mut value = run.start.0 | (flags | large).bits();
        let mut slot = entry(address, run.level);
        for _ in 0..run.pages {
            // SAFETY: a run stays within one table, which exists now, so that `slot` does too. The
            // entry is not present before, so no translation of it is cached.
            unsafe { slot.write_volatile(value) };
            slot = slot.wrapping_add(1);
            value += run.level.size();
        }
        // Nothing may be read or written there before.
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    fn take(&mut self) -> Option<PhysAddr> {
        let from = self.spare.iter_mut().find(|spare| !spare.is_empty())?;
        let frame = from.start();
        *from = PhysRange::between(PhysAddr(frame.0 + PAGE_SIZE as u64), from.end());
        Some(frame)
    }
}
