//! A set of frames, as a short list of ranges.

use heapless::Vec;

use crate::{MAX_REGIONS, PAGE_SIZE, PhysAddr, PhysRange};

/// Disjoint ranges of whole frames, ascending, none touching the next. When there are more than fit,
/// the smallest are dropped: losing RAM is safe, inventing some is not.
#[derive(Debug)]
pub(super) struct Regions {
    ranges: Vec<PhysRange, MAX_REGIONS>,
    lost: bool,
}

impl Regions {
    pub(super) const fn new() -> Self {
        Self { ranges: Vec::new(), lost: false }
    }

    /// The ranges, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = PhysRange> {
        self.ranges.iter().copied()
    }

    /// Whether ranges were dropped for want of room.
    pub(super) fn lost_some(&self) -> bool {
        self.lost
    }

    pub(super) fn into_inner(self) -> Vec<PhysRange, MAX_REGIONS> {
        self.ranges
    }

    /// Whether all of `range` is in the set.
    pub(super) fn contains(&self, range: PhysRange) -> bool {
        self.iter().any(|own| own.start() <= range.start() && range.end() <= own.end())
    }

    /// Adds the frames that lie wholly in `range`.
    pub(super) fn add(&mut self, range: PhysRange) {
        let Some(mut start) = range.start().frame_end() else { return };
        let mut end = range.end().frame_start();
        if start >= end {
            return;
        }
        // Swallow all that overlap or touch.
        self.ranges.retain(|own| {
            let apart = own.end() < start || end < own.start();
            if !apart {
                start = start.min(own.start());
                end = end.max(own.end());
            }
            apart
        });
        self.insert(PhysRange::between(start, end));
    }

    /// Takes out every frame that `range` touches.
    pub(super) fn remove(&mut self, range: PhysRange) {
        if range.is_empty() {
            return;
        }
        let top = PhysAddr(!(PAGE_SIZE as u64 - 1));
        let hole =
            PhysRange::between(range.start().frame_start(), range.end().frame_end().unwrap_or(top));
        let mut after = None;
        self.ranges.retain_mut(|own| {
            let (before, rest) = own.without(hole);
            if before.is_empty() {
                *own = rest;
            } else {
                *own = before;
                // A hole splits one range at most: they do not overlap.
                after = (!rest.is_empty()).then_some(rest).or(after);
            }
            !own.is_empty()
        });
        if let Some(rest) = after {
            self.insert(rest);
        }
    }

    /// Inserts a range that touches none of the others.
    fn insert(&mut self, range: PhysRange) {
        if self.ranges.is_full() {
            self.lost = true;
            let smallest = self.ranges.iter().enumerate().min_by_key(|(_, own)| own.size());
            match smallest {
                Some((index, own)) if own.size() < range.size() => drop(self.ranges.remove(index)),
                _ => return,
            }
        }
        let index = self.ranges.partition_point(|own| own.start() < range.start());
        // There is room, and the index is at most the length.
        let _ = self.ranges.insert(index, range);
    }
}
