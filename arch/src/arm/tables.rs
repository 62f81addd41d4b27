//! Builds translation tables: three levels of 4 KiB tables, which ARMv7 and AArch64 have in common.

use super::descriptor::{self, ADDRESS, ENTRIES, Permissions};
use crate::{PhysAddr, PhysRange};

/// Logarithms of the bytes that an entry of a level covers. Loops over levels shift by these,
/// because ARMv7 divides 64-bit numbers by a loop.
const LEVEL_1_SHIFT: u32 = 30;
const LEVEL_2_SHIFT: u32 = 21;
const LEVEL_3_SHIFT: u32 = 12;

/// Bytes that an entry of level 1 covers.
#[cfg(test)]
pub const LEVEL_1_SPAN: u64 = 1 << LEVEL_1_SHIFT;
/// Bytes that an entry of level 2 covers.
pub const LEVEL_2_SPAN: u64 = 1 << LEVEL_2_SHIFT;
/// Bytes that an entry of level 3 covers.
const PAGE: u64 = 1 << LEVEL_3_SHIFT;

/// The memory that tables lie in.
pub trait TableMemory {
    /// Reads entry `index` (below 512) of `table`.
    fn read(&self, table: PhysAddr, index: usize) -> u64;
    /// Writes entry `index` (below 512) of `table`, so that the processor never sees half of it.
    fn write(&mut self, table: PhysAddr, index: usize, descriptor: u64);
    /// Writes up to `count` entries of `table` from `first` on (at most up to the 512th): the first
    /// is `descriptor`, each of the others the one before plus `step`. Stops at an entry that is
    /// valid, and returns how many it wrote.
    fn write_run(
        &mut self,
        table: PhysAddr,
        first: usize,
        count: usize,
        descriptor: u64,
        step: u64,
    ) -> usize;
    /// Makes `count` entries of `table` from `first` on (at most up to the 512th) invalid.
    fn clear(&mut self, table: PhysAddr, first: usize, count: usize);
    /// A new table, all zero.
    fn allocate(&mut self) -> Option<PhysAddr>;
}

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// No table is left.
    OutOfTables,
    /// Something is mapped there already, or an address is not a multiple of 4096.
    BadRange,
}

/// Maps `physical` at `virt`, with the largest blocks that fit. Entries that were invalid become
/// valid, others stay as they are, so no TLB entry can be stale.
///
/// # Errors
/// [`MappingError`]. What was mapped before the error stays mapped.
pub fn map(
    memory: &mut impl TableMemory,
    root: PhysAddr,
    virt: u64,
    physical: PhysRange,
    permissions: Permissions,
) -> Result<(), MappingError> {
    let aligned = (virt | physical.start().0 | physical.end().0).is_multiple_of(PAGE);
    if !aligned || virt.checked_add(physical.size()).is_none() {
        return Err(MappingError::BadRange);
    }
    fill(memory, root, LEVEL_1_SHIFT, virt, physical, permissions)
}

/// Maps what lies under `table`, whose entries cover 2 to the power of `shift` bytes each.
fn fill(
    memory: &mut impl TableMemory,
    table: PhysAddr,
    shift: u32,
    mut virt: u64,
    physical: PhysRange,
    permissions: Permissions,
) -> Result<(), MappingError> {
    let span = 1 << shift;
    let last_level = shift == LEVEL_3_SHIFT;
    let kind = if last_level { permissions.page() } else { permissions.block() };
    let mut from = physical.start().0;
    let end = physical.end().0;
    while from < end {
        let index = entry_of(virt, shift);
        let whole = if (virt | from) & (span - 1) == 0 { (end - from) >> shift } else { 0 };
        let count = whole.min((ENTRIES - index) as u64) as usize;
        let written = memory.write_run(table, index, count, from | kind, span) as u64;
        virt += written << shift;
        from += written << shift;
        if written == count as u64 && count > 0 {
            continue;
        }
        // What is left begins or ends within an entry, or where something is mapped already.
        if last_level {
            return Err(MappingError::BadRange);
        }
        let next = next_table(memory, table, entry_of(virt, shift))?;
        let step = (span - (virt & (span - 1))).min(end - from);
        let part = PhysRange::between(PhysAddr(from), PhysAddr(from + step));
        fill(memory, next, shift - ENTRIES.ilog2(), virt, part, permissions)?;
        virt += step;
        from += step;
    }
    Ok(())
}

/// Which entry of its table covers `virt`.
fn entry_of(virt: u64, shift: u32) -> usize {
    (virt >> shift) as usize % ENTRIES
}

/// The table that entry `index` of `table` points to, a new one if the entry is invalid.
fn next_table(
    memory: &mut impl TableMemory,
    table: PhysAddr,
    index: usize,
) -> Result<PhysAddr, MappingError> {
    let old = memory.read(table, index);
    if descriptor::is_table(old) {
        return Ok(PhysAddr(old & ADDRESS));
    }
    if descriptor::is_valid(old) {
        return Err(MappingError::BadRange);
    }
    let new = memory.allocate().ok_or(MappingError::OutOfTables)?;
    memory.write(table, index, new.0 | descriptor::TABLE);
    Ok(new)
}

/// How many tables it takes to map ranges at virtual addresses that are congruent to the physical
/// ones modulo 1 GiB, when nothing is mapped yet. `ranges` ascend and do not overlap.
pub fn tables_needed(ranges: impl Iterator<Item = PhysRange>) -> usize {
    let mut last = [None; 2];
    let mut count = 0;
    for edge in ranges.flat_map(|range| [(range.start().0, 0), (range.end().0, 1)]) {
        let (address, is_end) = edge;
        for (shift, last) in [LEVEL_1_SHIFT, LEVEL_2_SHIFT].into_iter().zip(&mut last) {
            // An end belongs to the entry of the last byte before it.
            let entry = address.saturating_sub(is_end) >> shift;
            if address >> shift << shift != address && *last != Some(entry) {
                *last = Some(entry);
                count += 1;
            }
        }
    }
    count
}

/// Takes the mapping of the whole pages `virt..end` away. The caller invalidates the TLB.
///
/// # Errors
/// [`MappingError::BadRange`] if part of it is not mapped by pages; the rest may be unmapped then.
pub fn unmap(
    memory: &mut impl TableMemory,
    root: PhysAddr,
    virt: u64,
    end: u64,
) -> Result<(), MappingError> {
    let mut page = virt;
    while page < end {
        let table = last_table(memory, root, page).ok_or(MappingError::BadRange)?;
        let step = (LEVEL_2_SPAN - page % LEVEL_2_SPAN).min(end - page);
        memory.clear(table, entry_of(page, LEVEL_3_SHIFT), (step / PAGE) as usize);
        page += step;
    }
    Ok(())
}

/// The last-level table under which `virt` lies, if there is one.
pub fn last_table(memory: &impl TableMemory, root: PhysAddr, virt: u64) -> Option<PhysAddr> {
    let mut table = root;
    for shift in [LEVEL_1_SHIFT, LEVEL_2_SHIFT] {
        let entry = memory.read(table, entry_of(virt, shift));
        if !descriptor::is_table(entry) {
            return None;
        }
        table = PhysAddr(entry & ADDRESS);
    }
    Some(table)
}
