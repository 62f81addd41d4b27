//! The direct map, built once from the memory map.

use heapless::Vec;

use super::{
    DIRECT_BASE, NO_FRAMES, STATE,
    tables::{Flags, Level, Tables, runs},
};
use crate::{
    MAX_REGIONS, PAGE_SIZE, PhysAddr, PhysRange,
    machine::{cpuid, image},
    start_info::StartInfo,
};

/// Frames that are set aside for the device window: a page directory and a page table.
const DEVICE_TABLES: u64 = 2;

/// Free RAM.
type Memory = Vec<PhysRange, MAX_REGIONS>;

/// A range and how it is mapped.
type Mapping = (PhysRange, Flags);

/// Regions of memory, and what `read_only` finds.
type Mappings = Vec<Mapping, { MAX_REGIONS + 3 }>;

/// Maps the free RAM of `info` read-write, its command line and module read-only, and takes the
/// frames for the page tables out of the free RAM. `false` if there are not enough.
pub(in crate::machine) fn init(info: &mut StartInfo) -> bool {
    let largest = if cpuid::has_gigabyte_pages() { Level::Huge } else { Level::Large };
    let constants = read_only(info);
    let Some((pool, mappings)) = set_aside(&mut info.memory, &constants, largest) else {
        return false;
    };
    STATE.with(|state| {
        // The identity page of the switch, the last of the image's, is free since long mode.
        let end = image::frames().end();
        let identity = PhysRange::between(PhysAddr(end.0 - PAGE_SIZE as u64), end);
        state.tables = Tables::new(identity, pool);
        mappings.iter().all(|&mapping| map(&mut state.tables, mapping, largest))
    })
}

/// Takes the frames for the tables out of `memory`. Returns them, and all that the direct map is to
/// hold.
fn set_aside(
    memory: &mut Memory,
    constants: &[PhysRange],
    largest: Level,
) -> Option<(PhysRange, Mappings)> {
    let mut count = DEVICE_TABLES;
    loop {
        // What is taken is not mapped, which may cut a large page and cost another table.
        let mut left = memory.clone();
        let pool = take_frames(&mut left, count)?;
        let mappings = merge(&left, constants);
        let needed = count_tables(&mappings, largest) + DEVICE_TABLES;
        if needed <= count {
            *memory = left;
            return Some((pool, mappings));
        }
        count = needed;
    }
}

/// RAM and constants, ascending. They are disjoint.
fn merge(memory: &Memory, constants: &[PhysRange]) -> Mappings {
    let mut mappings: Mappings = memory.iter().map(|&own| (own, Flags::READ_WRITE)).collect();
    for &range in constants {
        let index = mappings.partition_point(|(own, _)| own.start() < range.start());
        // There is room for three more than `memory` can hold, and the index is in range.
        let _ = mappings.insert(index, (range, Flags::READ_ONLY));
    }
    mappings
}

/// The frames of command line and module, none twice.
fn read_only(info: &StartInfo) -> Vec<PhysRange, 3> {
    let mut ranges = Vec::new();
    let whole = |range: PhysRange| {
        let end = range.end().frame_end().unwrap_or(range.end());
        PhysRange::between(range.start().frame_start(), end)
    };
    let (line, module) = (whole(info.command_line), whole(info.module.unwrap_or(NO_FRAMES)));
    // The line may share a frame with the module, or even lie in it.
    let (before, after) = line.without(module);
    for range in [module, before, after] {
        if !range.is_empty() {
            // There is room for all three.
            let _ = ranges.push(range);
        }
    }
    ranges
}

/// How many tables it takes to map these, besides the PDPT.
fn count_tables(mappings: &Mappings, largest: Level) -> u64 {
    let (mut directory, mut table) = (None, None);
    let mut count = 0;
    for run in mappings.iter().flat_map(|&(range, _)| runs(range, largest)) {
        if run.level < Level::Huge {
            let gigabyte = Some(run.start.0 / Level::Huge.size());
            count += u64::from(directory != gigabyte);
            directory = gigabyte;
        }
        if run.level < Level::Large {
            let slot = Some(run.start.0 / Level::Large.size());
            count += u64::from(table != slot);
            table = slot;
        }
    }
    count
}

/// Takes `count` frames out of `memory`: behind the image if there is room, because a page is cut
/// there already, else from the end of the last region that is large enough.
fn take_frames(memory: &mut Memory, count: u64) -> Option<PhysRange> {
    let size = count * PAGE_SIZE as u64;
    let image_end = image::frames().end();
    let behind =
        memory.iter_mut().find(|region| region.start() == image_end && region.size() > size);
    if let Some(region) = behind {
        let cut = PhysAddr(image_end.0 + size);
        let taken = PhysRange::between(image_end, cut);
        *region = PhysRange::between(cut, region.end());
        return Some(taken);
    }
    let region = memory.iter_mut().rfind(|region| region.size() > size)?;
    let cut = PhysAddr(region.end().0 - size);
    let taken = PhysRange::between(cut, region.end());
    *region = PhysRange::between(region.start(), cut);
    Some(taken)
}

/// Maps a range at its place in the direct map.
fn map(tables: &mut Tables, (range, flags): Mapping, largest: Level) -> bool {
    runs(range, largest).all(|run| {
        // SAFETY: the tables are not sealed, the kernel that would do so has not started. The
        // ranges are disjoint, so nothing is mapped here yet, and none of them is in use: they are
        // neither the image nor page tables.
        unsafe { tables.map(DIRECT_BASE + run.start.0 as usize, run, flags) }.is_ok()
    })
}
