use proptest::prelude::*;

use super::*;
use crate::memory::{frames::FrameAllocator, test_memory::TestMemory};

/// Bytes at each end of a block that tests write to.
const END: usize = 64;

/// # Safety
/// The block has this size.
unsafe fn write_ends(start: NonNull<u8>, size: usize, fill: u8) {
    let end = size.min(END);
    // SAFETY: both ends lie within the block.
    unsafe {
        start.write_bytes(fill, end);
        start.add(size - end).write_bytes(fill, end);
    }
}

struct Fixture {
    heap: Heap,
    frames: FrameAllocator,
    /// Start, layout and the byte that the block is filled with.
    blocks: Vec<(NonNull<u8>, Layout, u8)>,
    _memory: TestMemory,
}

impl Fixture {
    fn new(frames: &[usize]) -> Self {
        let memory = TestMemory::new(frames);
        Self { heap: Heap::new(), frames: memory.frames(), blocks: Vec::new(), _memory: memory }
    }

    fn allocate(&mut self, size: usize, align: usize) -> bool {
        let layout = Layout::from_size_align(size, align).unwrap();
        let quickly = self.heap.take(layout);
        let Some(start) = quickly.or_else(|| self.heap.allocate(layout, &mut self.frames)) else {
            return false;
        };
        assert_eq!(start.addr().get() % align, 0);
        let fill = (start.addr().get() / 16) as u8;
        // SAFETY: just allocated with this size.
        unsafe { write_ends(start, size, fill) };
        self.blocks.push((start, layout, fill));
        true
    }

    /// Whether the first bytes of the block, which has this size, are what was written.
    fn check(&self, which: usize, size: usize) {
        let (start, _, fill) = self.blocks[which];
        // SAFETY: the block is in use and was written to.
        let bytes = unsafe { core::slice::from_raw_parts(start.as_ptr(), size.min(END)) };
        assert!(bytes.iter().all(|byte| *byte == fill));
    }

    fn free(&mut self, which: usize) {
        self.check(which, self.blocks[which].1.size());
        let (start, layout, _) = self.blocks.swap_remove(which);
        // SAFETY: allocated with this layout, and not used any more.
        unsafe { self.heap.free(start, layout, &mut self.frames) };
    }

    fn resize(&mut self, which: usize, size: usize) {
        let (start, old, fill) = self.blocks[which];
        let new = Layout::from_size_align(size, old.align()).unwrap();
        // SAFETY: allocated with the layout `old`.
        if unsafe { self.heap.resize(start, old, new, &mut self.frames) } {
            self.blocks[which].1 = new;
            self.check(which, old.size().min(size));
            // SAFETY: the block has this size now.
            unsafe { write_ends(start, size, fill) };
        }
    }

    fn free_all(&mut self) {
        while let Some(last) = self.blocks.len().checked_sub(1) {
            self.free(last);
        }
        assert_eq!(self.heap.in_use(), 0);
        self.heap.small.trim(&mut self.frames);
        assert_eq!(self.frames.free_frames(), self.frames.total());
    }
}

#[test]
fn memory_is_full_only_when_it_is() {
    let frames = if cfg!(miri) { 4 } else { 64 };
    let mut fixture = Fixture::new(&[frames]);
    let mut count = 0;
    while fixture.allocate(64, 8) {
        count += 1;
    }
    assert_eq!(count, frames * 63);
    fixture.free_all();
    // Blocks of another size need the memory that the first ones gave back.
    let mut count = 0;
    while fixture.allocate(2048, 8) {
        count += 1;
    }
    assert_eq!(count, frames / 4 * 7);
    fixture.free_all();
}

#[test]
fn blocks_that_come_back_to_full_spans_are_used_again() {
    for size in [16, 64, 512, 2048] {
        let mut fixture = Fixture::new(&[if cfg!(miri) { 4 } else { 16 }]);
        while fixture.allocate(size, 8) {}
        let count = fixture.blocks.len();
        // Some of each span.
        for step in [2, 3] {
            (0..count / step).rev().for_each(|which| fixture.free(which * step));
            while fixture.allocate(size, 8) {}
            assert_eq!(fixture.blocks.len(), count, "blocks of {size} bytes");
        }
        fixture.free_all();
    }
}

#[test]
fn a_size_class_that_keeps_an_empty_span_gives_it_up_when_memory_is_short() {
    let mut fixture = Fixture::new(&[4]);
    for size in [16, 64, 256] {
        assert!(fixture.allocate(size, 8));
        fixture.free(0);
    }
    assert_eq!(fixture.frames.free_frames(), 1);
    assert!(fixture.allocate(4 * PAGE_SIZE, 8));
    fixture.free_all();
}

#[test]
fn empty_spans_and_arenas_are_returned() {
    let mut fixture = Fixture::new(&[400]);
    for _ in 0..if cfg!(miri) { 60 } else { 300 } {
        assert!(fixture.allocate(100, 8));
        assert!(fixture.allocate(3000, 8));
    }
    while let Some(last) = fixture.blocks.len().checked_sub(1) {
        fixture.free(last);
    }
    // One span is kept.
    assert_eq!(fixture.frames.free_frames(), 400 - 1);
}

#[test]
fn few_empty_spans_are_kept() {
    let mut fixture = Fixture::new(&[400]);
    for round in 0..3 {
        for size in (16..=2048).step_by(16) {
            assert!(fixture.allocate(size, 8));
            fixture.free(0);
            let kept = 400 - fixture.frames.free_frames();
            assert!(kept <= 16, "{kept} frames are kept in round {round}");
        }
    }
    fixture.free_all();
}

#[test]
fn large_blocks_grow_in_place() {
    let mut fixture = Fixture::new(&[100]);
    assert!(fixture.allocate(PAGE_SIZE, 8));
    for pages in [2, 10, 100, 3, 1] {
        fixture.resize(0, pages * PAGE_SIZE);
        assert_eq!(fixture.blocks[0].1.size(), pages * PAGE_SIZE);
        assert_eq!(fixture.heap.in_use(), pages * PAGE_SIZE);
    }
    fixture.free_all();
}

#[test]
fn impossible_sizes_are_refused() {
    let mut fixture = Fixture::new(&[16]);
    let huge = isize::MAX as usize & !0xffff;
    assert!(!fixture.allocate(huge, 1) && !fixture.allocate(huge, 65536));
    assert!(!fixture.allocate(1, 1 << 40));
    assert!(fixture.allocate(0, 1) && fixture.allocate(0, 4096));
    fixture.free_all();
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(usize, u32),
    Free(usize),
    Resize(usize, usize),
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..300usize, 2 => 300..3000usize, 2 => 3000..40_000usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (size(), prop_oneof![9 => 0..4u32, 1 => 4..15u32])
            .prop_map(|(size, align)| Step::Allocate(size, align)),
        4 => any::<usize>().prop_map(Step::Free),
        1 => (any::<usize>(), size()).prop_map(|(which, size)| Step::Resize(which, size)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 100 }))]

    #[test]
    fn blocks_are_disjoint_and_keep_their_bytes(steps in prop::collection::vec(step(), 0..if cfg!(miri) { 60 } else { 500 })) {
        let mut fixture = Fixture::new(&[120, 30]);
        for step in steps {
            match step {
                Step::Allocate(size, align) => {
                    fixture.allocate(size, 1 << align);
                }
                Step::Free(which) => {
                    if let Some(which) = which.checked_rem(fixture.blocks.len()) {
                        fixture.free(which);
                    }
                }
                Step::Resize(which, size) => {
                    if let Some(which) = which.checked_rem(fixture.blocks.len()) {
                        fixture.resize(which, size);
                    }
                }
            }
        }
        fixture.free_all();
    }
}

#[test]
fn the_smallest_blocks_are_in_no_arena_whatever_their_alignment() {
    for align in (0..=16).map(|power| 1 << power) {
        for size in 1..SMALLEST_IN_ARENA {
            let home = Home::of(Layout::from_size_align(size, align).unwrap());
            assert!(!matches!(home, Home::Arena), "{size} bytes at a multiple of {align}");
        }
    }
}
