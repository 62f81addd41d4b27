//! Which size class a small block belongs to.

use core::alloc::Layout;

use mayfly_arch::PAGE_SIZE;

/// Size of the blocks of each class, in bytes: all multiples of 16, so that is what blocks are
/// aligned to at least.
static SIZES: [u16; TABLE] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 768, 1024, 1536,
    2048, //
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

pub(super) const CLASSES: usize = 20;

/// Places in a table by class: so many that an index needs no check.
pub(super) const TABLE: usize = CLASSES.next_power_of_two();

/// Size of the spans of each class, in bytes. Larger blocks have larger spans, so that the span's
/// header wastes little.
static SPANS: [u16; TABLE] = span_table();

const fn span_table() -> [u16; TABLE] {
    let mut table = [0; TABLE];
    let mut class = 0;
    while class < CLASSES {
        let pages = match SIZES[class] {
            0..=512 => 1,
            513..=1536 => 2,
            _ => 4,
        };
        table[class] = pages * PAGE_SIZE as u16;
        class += 1;
    }
    table
}

/// Largest small block, in bytes.
pub(super) const LARGEST: usize = 2048;

/// Largest alignment of a small block.
const MAX_ALIGN: usize = 64;

const GRANULE: usize = 16;

/// The class for each size, counted in granules and rounded up.
static CLASS_OF: [u8; LARGEST / GRANULE + 1] = class_table();

const fn class_table() -> [u8; LARGEST / GRANULE + 1] {
    let mut table = [0; LARGEST / GRANULE + 1];
    let (mut granules, mut class) = (0, 0);
    while granules < table.len() {
        if granules * GRANULE > SIZES[class as usize] as usize {
            class += 1;
        }
        table[granules] = class;
        granules += 1;
    }
    table
}

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u8);

impl Class {
    /// The class for a layout without much alignment, or `None` if it is no such small block.
    #[inline]
    pub(super) fn plain(layout: Layout) -> Option<Self> {
        if layout.size() > LARGEST || layout.align() > GRANULE {
            return None;
        }
        Some(Self(CLASS_OF[layout.size().div_ceil(GRANULE)]))
    }

    /// The class for a layout, or `None` if it is no small block.
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let (size, align) = (layout.size(), layout.align());
        if size > LARGEST || align > MAX_ALIGN {
            return None;
        }
        let first = CLASS_OF[size.div_ceil(GRANULE)];
        let mut classes = usize::from(first)..CLASSES;
        let fits = |class: &usize| usize::from(SIZES[*class]).is_multiple_of(align);
        classes.find(fits).map(|class| Self(class as u8))
    }

    /// All classes.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    /// Its place in a table with room for `TABLE` classes.
    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0 as usize % TABLE
    }

    /// Bytes in a block.
    pub(super) const fn block(self) -> usize {
        SIZES[self.index()] as usize
    }

    /// Bytes in a span, a power of two: what blocks of this class are cut from.
    pub(super) const fn span(self) -> usize {
        SPANS[self.index()] as usize
    }

    /// Frames in a span.
    pub(super) const fn span_frames(self) -> usize {
        self.span() / PAGE_SIZE
    }

    /// Blocks in a span behind a header of `header` bytes.
    pub(super) const fn blocks(self, header: usize) -> usize {
        (self.span() - header) / self.block()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_and_alignment_gets_the_smallest_class_that_holds_it() {
        for align in [1, 2, 4, 8, 16, 32, 64] {
            for size in (0..=LARGEST).step_by(if cfg!(miri) { 37 } else { 1 }) {
                let class = Class::of(Layout::from_size_align(size, align).unwrap()).unwrap();
                assert!(class.block() >= size && class.block().is_multiple_of(align));
                let smaller = (0..class.0).map(Class);
                let good = |c: &Class| c.block() >= size && c.block().is_multiple_of(align);
                assert_eq!(smaller.filter(good).count(), 0, "{size} {align}");
                let plain = Class::plain(Layout::from_size_align(size, align).unwrap());
                assert_eq!(plain, (align <= GRANULE).then_some(class));
            }
        }
    }

    #[test]
    fn larger_blocks_have_no_class() {
        for (size, align) in [(2049, 1), (usize::MAX / 2, 1), (1, 128), (2048, 4096)] {
            assert_eq!(Class::of(Layout::from_size_align(size, align).unwrap()), None);
        }
    }
}
