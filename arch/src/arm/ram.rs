//! Maps the device tree, RAM and the initrd.

use super::start::warn;
use super::{
    boot_error::BootError,
    descriptor::Permissions,
    memory_map::{MemoryMap, frames_of},
    mmu,
    pool::Pool,
    tables::tables_needed,
};
use crate::{
    BootInfo, PAGE_SIZE, PhysAddr, PhysRange,
    fdt::{self, Discovered, FdtError},
    machine::layout,
};

/// Page tables kept for devices when memory takes more than the image brings.
const TABLES_FOR_DEVICES: usize = 4;
/// How much one more ragged end of a region can add to the tables needed.
const TABLES_FOR_TAKING: usize = 2;

/// Maps the tree read-only where the direct map would show it, and returns it and where it is.
///
/// # Errors
/// [`BootError`], if there can be no tree at `start`.
pub(super) fn map_tree(
    start: PhysAddr,
    image: PhysRange,
) -> Result<(&'static [u8], PhysRange), BootError> {
    const HEADER: u64 = 8;
    let header = PhysRange::new(start, HEADER).ok_or(FdtError::NotATree)?;
    if start.0 == 0 {
        return Err(FdtError::NotATree.into());
    }
    if frames_of(header).overlaps(image) {
        return Err(BootError::TreeInImage);
    }
    let first = frames_of(header);
    mmu::map_direct(first, Permissions::ReadOnly).map_err(BootError::TreeUnmappable)?;
    let pointer = mmu::phys_to_virt(start);
    // SAFETY: the range is mapped, read-only and for ever; nothing else uses its frames, because
    // `map_memory` takes them out of the RAM that is given away. Any bytes are valid.
    let header = unsafe { pointer.cast::<[u8; HEADER as usize]>().as_ref() };
    let size = fdt::total_size(header)?;
    let range = PhysRange::new(start, size as u64).ok_or(FdtError::BadSize)?;
    let rest = PhysRange::between(first.end(), frames_of(range).end());
    if rest.overlaps(image) {
        return Err(BootError::TreeInImage);
    }
    if !rest.is_empty() {
        mmu::map_direct(rest, Permissions::ReadOnly).map_err(BootError::TreeUnmappable)?;
    }
    // SAFETY: as above, for all of the range.
    let tree = unsafe { core::slice::from_raw_parts(pointer.as_ptr(), size) };
    Ok((tree, range))
}

/// Gives back what no part of the tree uses, and returns what is left of `tree`.
///
/// # Safety
/// Nobody has a reference to bytes of the tree beyond `used`.
pub(super) unsafe fn trim_tree(tree: PhysRange, used: usize) -> PhysRange {
    let Some(used) = PhysRange::new(tree.start(), used as u64) else { return tree };
    let tail = PhysRange::between(frames_of(used).end(), frames_of(tree).end());
    if tail.is_empty() {
        return tree;
    }
    // SAFETY: what the caller promises.
    match unsafe { mmu::unmap_direct(tail) } {
        Ok(()) => used,
        Err(_) => tree,
    }
}

/// What lies in memory already.
pub(super) struct Occupied {
    /// The image, with everything up to its page tables.
    pub image: PhysRange,
    /// The parts of it that guard the stacks.
    pub guards: [PhysRange; 2],
    /// The part of the device tree that is used.
    pub tree: PhysRange,
    /// All that the tree's header counts to it. Where boot assembly has moved the tree, all of this
    /// was overwritten.
    pub tree_room: PhysRange,
    /// Page tables that the image brought for mapping RAM, the tree and devices.
    pub tables: usize,
}

/// Gives all RAM to the direct map that nothing else occupies.
///
/// # Errors
/// [`BootError::ImageOutsideMemory`], if the tree cannot be true.
pub(super) fn map_memory(
    occupied: &Occupied,
    found: &Discovered,
    info: &mut BootInfo,
) -> Result<(), BootError> {
    if !found.memory.iter().any(|ram| contains(*ram, occupied.image)) {
        return Err(BootError::ImageOutsideMemory);
    }
    let initrd = found.initrd.and_then(|range| check_initrd(range, occupied, found, info));
    let limit = layout::DIRECT.end();
    if found.memory.iter().any(|range| range.end() > limit) {
        warn(info, "memory beyond the direct map's end is left unused");
    }
    let mut map = MemoryMap::new(&found.memory, limit);
    map.remove(occupied.image);
    // A guard keeps addresses free, not memory. One of a page is not worth a region.
    let is_worth_it = |guard: &&PhysRange| guard.size() > PAGE_SIZE as u64 && guard.end() <= limit;
    for guard in occupied.guards.iter().filter(is_worth_it) {
        map.insert(*guard);
    }
    for hole in [occupied.tree].iter().chain(&initrd).chain(&found.reserved) {
        map.remove(*hole);
    }
    take_tables(&mut map, occupied, initrd, info);
    if map.dropped {
        warn(info, "memory has more than 32 regions: the smallest are left unused");
    }
    for region in &map.regions {
        if mmu::map_direct(*region, Permissions::ReadWrite).is_ok() {
            let _ = info.memory.push(*region);
        } else {
            warn(info, "no page table left for a region of memory: it is left unused");
        }
    }
    info.initrd = initrd.and_then(|range| map_initrd(range, occupied.tree));
    if initrd.is_some() && info.initrd.is_none() {
        warn(info, "the initrd cannot be mapped: it is left out");
    }
    Ok(())
}

/// The initrd, if it lies in memory and neither the image's BSS nor the tree has overwritten it.
fn check_initrd(
    range: PhysRange,
    occupied: &Occupied,
    found: &Discovered,
    info: &mut BootInfo,
) -> Option<PhysRange> {
    if range.overlaps(occupied.image) {
        warn(info, "the initrd lies where the image's variables are: give the guest more memory");
        return None;
    }
    if range.overlaps(occupied.tree_room) {
        warn(info, "the initrd lies where the device tree is: give the guest more memory");
        return None;
    }
    if range.is_empty() || !found.memory.iter().any(|ram| contains(*ram, range)) {
        warn(info, "the initrd does not lie in memory: it is left out");
        return None;
    }
    Some(range)
}

/// Maps the initrd read-only where the direct map would show it. It may share a frame with the
/// tree, which is mapped already.
fn map_initrd(range: PhysRange, tree: PhysRange) -> Option<&'static [u8]> {
    let (before, after) = frames_of(range).without(frames_of(tree));
    for part in [before, after] {
        if !part.is_empty() {
            mmu::map_direct(part, Permissions::ReadOnly).ok()?;
        }
    }
    let size = usize::try_from(range.size()).ok()?;
    // SAFETY: mapped read-only and for ever; its frames are not given to anybody else. Any bytes
    // are valid.
    Some(unsafe { core::slice::from_raw_parts(mmu::phys_to_virt(range.start()).as_ptr(), size) })
}

/// Takes RAM for page tables if memory has more holes than the image has tables for.
fn take_tables(
    map: &mut MemoryMap,
    occupied: &Occupied,
    initrd: Option<PhysRange>,
    info: &mut BootInfo,
) {
    let mut all = map.clone();
    for range in [Some(occupied.tree), initrd].into_iter().flatten() {
        all.insert(frames_of(range));
    }
    let needed = tables_needed(all.regions.iter().copied()) + TABLES_FOR_DEVICES;
    let Some(missing) = needed.checked_sub(occupied.tables).filter(|missing| *missing > 0) else {
        return;
    };
    let more = (missing + TABLES_FOR_TAKING).min(Pool::room());
    let added =
        map.take((more * PAGE_SIZE) as u64).is_some_and(|frames| mmu::add_tables(frames).is_ok());
    if !added {
        warn(info, "memory is too small and too fragmented to map all of it");
    }
}

fn contains(outer: PhysRange, inner: PhysRange) -> bool {
    outer.start() <= inner.start() && inner.end() <= outer.end()
}
