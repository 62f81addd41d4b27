//! Physical addresses, kept apart from pointers by type.

use core::fmt;

/// Size of a page and of a frame, in bytes, on every architecture that Mayfly runs on.
pub const PAGE_SIZE: usize = 4096;

/// A guest-physical address, in bytes. On Xen the frame number of it is a GFN.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    /// The address rounded down to the start of its frame.
    pub const fn frame_start(self) -> Self {
        Self(self.0 & !(PAGE_SIZE as u64 - 1))
    }

    /// The address rounded up to a frame boundary, or `None` at the end of the address space.
    pub const fn frame_end(self) -> Option<Self> {
        match self.0.checked_add(PAGE_SIZE as u64 - 1) {
            Some(sum) => Some(Self(sum & !(PAGE_SIZE as u64 - 1))),
            None => None,
        }
    }

    /// The number of the frame that holds this address.
    pub const fn frame_number(self) -> u64 {
        self.0 / PAGE_SIZE as u64
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A half-open range of physical addresses, `start..end`. Never reversed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PhysRange {
    start: PhysAddr,
    end: PhysAddr,
}

impl PhysRange {
    /// The range of `size` bytes from `start`, or `None` if it passes the end of the address space.
    pub const fn new(start: PhysAddr, size: u64) -> Option<Self> {
        match start.0.checked_add(size) {
            Some(end) => Some(Self { start, end: PhysAddr(end) }),
            None => None,
        }
    }

    /// The range between two addresses; empty when `end` is not after `start`.
    pub const fn between(start: PhysAddr, end: PhysAddr) -> Self {
        if end.0 > start.0 { Self { start, end } } else { Self { start, end: start } }
    }

    /// First address of the range.
    pub const fn start(self) -> PhysAddr {
        self.start
    }

    /// First address after the range.
    pub const fn end(self) -> PhysAddr {
        self.end
    }

    /// Length in bytes.
    pub const fn size(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether the range holds no address.
    pub const fn is_empty(self) -> bool {
        self.size() == 0
    }

    /// Whether `address` lies in the range.
    pub const fn contains(self, address: PhysAddr) -> bool {
        self.start.0 <= address.0 && address.0 < self.end.0
    }

    /// Whether the two ranges share an address.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// What is left of this range when `hole` is taken out of it: the part before and the part
    /// after, either of which may be empty.
    pub const fn without(self, hole: Self) -> (Self, Self) {
        if !self.overlaps(hole) {
            return (self, Self::between(self.end, self.end));
        }
        (Self::between(self.start, hole.start), Self::between(hole.end, self.end))
    }
}

impl fmt::Debug for PhysRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange::between(PhysAddr(start), PhysAddr(end))
    }

    #[test]
    fn a_hole_splits_a_range() {
        assert_eq!(range(0, 100).without(range(10, 20)), (range(0, 10), range(20, 100)));
        assert_eq!(range(0, 100).without(range(0, 100)), (range(0, 0), range(100, 100)));
        assert_eq!(range(50, 100).without(range(0, 60)).1, range(60, 100));
        assert_eq!(range(0, 10).without(range(20, 30)).0, range(0, 10));
    }

    #[test]
    fn ends_of_the_address_space_do_not_wrap() {
        assert_eq!(PhysAddr(u64::MAX).frame_end(), None);
        assert_eq!(PhysRange::new(PhysAddr(u64::MAX - 1), 2), None);
    }
}
