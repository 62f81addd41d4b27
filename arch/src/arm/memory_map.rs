//! Which RAM is left over for the guest.

use heapless::Vec;

use crate::{MAX_REGIONS, PhysAddr, PhysRange};

/// RAM without holes.
#[derive(Clone, Debug, Default)]
pub struct MemoryMap {
    /// Regions of whole frames, ascending, that do not overlap.
    pub regions: Vec<PhysRange, MAX_REGIONS>,
    /// Whether a region was dropped because there were too many; the smallest ones go.
    pub dropped: bool,
}

impl MemoryMap {
    /// Takes the whole frames of `memory`, as far as they lie below `limit`.
    pub fn new(memory: &[PhysRange], limit: PhysAddr) -> Self {
        let mut map = Self::default();
        for range in memory {
            let end = PhysAddr(range.end().0.min(limit.0)).frame_start();
            if let Some(start) = range.start().frame_end() {
                map.insert(PhysRange::between(start, end));
            }
        }
        map
    }

    /// Takes all frames out that `hole` touches.
    pub fn remove(&mut self, hole: PhysRange) {
        if hole.is_empty() {
            return;
        }
        let hole = frames_of(hole);
        while let Some(index) = self.regions.iter().position(|region| region.overlaps(hole)) {
            // Neither of the two parts that are left overlaps the hole.
            let (before, after) = self.regions.remove(index).without(hole);
            self.insert(before);
            self.insert(after);
        }
    }

    /// Takes `size` bytes, whole frames, from the end of the largest region. `None` if no region
    /// is larger than that.
    pub fn take(&mut self, size: u64) -> Option<PhysRange> {
        let largest = self.regions.iter_mut().max_by_key(|region| region.size())?;
        if largest.size() <= size {
            return None;
        }
        let start = PhysAddr(largest.end().0 - size);
        let taken = PhysRange::between(start, largest.end());
        *largest = PhysRange::between(largest.start(), start);
        Some(taken)
    }

    /// Adds a region of whole frames that overlaps none of the others.
    pub fn insert(&mut self, region: PhysRange) {
        if region.is_empty() {
            return;
        }
        if self.regions.is_full() {
            self.dropped = true;
            let smallest = (0..self.regions.len()).min_by_key(|&n| self.regions[n].size());
            match smallest {
                Some(n) if self.regions[n].size() < region.size() => {
                    self.regions.remove(n);
                }
                _ => return,
            }
        }
        let place = self.regions.iter().take_while(|other| other.start() < region.start()).count();
        // There is room, and the place is at most the length.
        let _ = self.regions.insert(place, region);
    }
}

/// `range`, rounded outwards to whole frames (at the end of the address space, inwards).
pub fn frames_of(range: PhysRange) -> PhysRange {
    let end = range.end().frame_end().unwrap_or(range.end().frame_start());
    PhysRange::between(range.start().frame_start(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: PhysAddr = PhysAddr(1 << 39);

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::between(PhysAddr(start), PhysAddr(end))
    }

    #[test]
    fn holes_are_rounded_outwards_and_memory_inwards() {
        let mut map = MemoryMap::new(&[range(0x1001, 0x9fff)], END);
        assert_eq!(map.regions[..], [range(0x2000, 0x9000)]);
        map.remove(range(0x4fff, 0x5001));
        assert_eq!(map.regions[..], [range(0x2000, 0x4000), range(0x6000, 0x9000)]);
    }

    #[test]
    fn regions_ascend_and_end_at_the_limit() {
        let map =
            MemoryMap::new(&[range(0x8000, 0x10000), range(0x1000, 0x3000)], PhysAddr(0x9800));
        assert_eq!(map.regions[..], [range(0x1000, 0x3000), range(0x8000, 0x9000)]);
    }

    #[test]
    fn a_hole_over_everything_leaves_nothing() {
        let mut map = MemoryMap::new(&[range(0x1000, 0x3000)], END);
        map.remove(range(0, u64::MAX));
        assert!(map.regions.is_empty());
    }

    #[test]
    fn the_smallest_region_goes_when_there_are_too_many() {
        let memory: std::vec::Vec<_> =
            (0..=MAX_REGIONS as u64).map(|n| range(n << 20, (n << 20) + ((n + 1) << 12))).collect();
        let map = MemoryMap::new(&memory, END);
        assert!(map.dropped);
        assert_eq!(map.regions.len(), MAX_REGIONS);
        assert_eq!(map.regions[0], memory[1]);
    }

    #[test]
    fn frames_are_taken_from_the_end_of_the_largest_region() {
        let mut map = MemoryMap::new(&[range(0, 0x3000), range(0x10000, 0x20000)], END);
        assert_eq!(map.take(0x2000), Some(range(0x1e000, 0x20000)));
        assert_eq!(map.regions[1], range(0x10000, 0x1e000));
        assert_eq!(map.take(0x100000), None);
    }
}
