//! The frame allocator: all RAM that nothing else uses, in runs of any length.
//!
//! A bit per frame marks the first and the last frame of each free run, so that a run that is freed
//! finds its neighbours. The bits of the frames in between mean nothing until the frame is
//! allocated, so setting up 8 GiB writes to as few places as setting up 2 MiB.

mod withdrawn;

use core::{ptr::NonNull, slice};

use heapless::Vec;
use mayfly_arch::{MAX_REGIONS, PAGE_SIZE};

use super::{
    runs::{FreeRun, RunLists},
    source::FrameSource,
};

/// Bytes of marks that need no frame: enough for 4 MiB of RAM.
const INLINE_MARKS: usize = 128;

/// Single frames that are kept at hand, as most allocations are for one: those neither look for
/// neighbours when they are freed nor leave some behind when they are allocated.
const AT_HAND: usize = 16;

/// Contiguous RAM.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    frames: usize,
    /// Number of the mark of its first frame.
    first_mark: usize,
}

/// All frames of the guest that nothing else uses.
pub(super) struct FrameAllocator {
    regions: Vec<Region, MAX_REGIONS>,
    runs: RunLists,
    marks: Marks,
    /// Free frames that are in no run.
    at_hand: Vec<NonNull<u8>, AT_HAND>,
    free: usize,
    total: usize,
}

impl FrameAllocator {
    /// No frames.
    pub(super) const fn new() -> Self {
        Self {
            regions: Vec::new(),
            runs: RunLists::new(),
            marks: Marks { outside: None, inline: [0; INLINE_MARKS] },
            at_hand: Vec::new(),
            free: 0,
            total: 0,
        }
    }

    /// Gives the allocator its memory: the start and the number of frames of each region. Regions
    /// beyond `MAX_REGIONS` are left unused.
    ///
    /// # Safety
    /// Called once. The regions are aligned to frames, mapped and writable for as long as the
    /// allocator is used, they do not overlap, and nobody else uses them.
    pub(super) unsafe fn init(&mut self, regions: &[(NonNull<u8>, usize)]) {
        let mut marks = 0;
        for &(start, frames) in regions.iter().filter(|region| region.1 > 0) {
            if self.regions.push(Region { start, frames, first_mark: marks }).is_ok() {
                marks += frames;
            }
        }
        self.total = marks;
        let reserved = if marks > INLINE_MARKS * 8 { self.reserve_marks(marks) } else { None };
        for region in 0..self.regions.len() {
            let skip =
                reserved.filter(|reserved| reserved.0 == region).map_or(0, |reserved| reserved.1);
            let frames = self.regions[region].frames - skip;
            if frames > 0 {
                // SAFETY: the caller gives up the region, and the marks lie in the part left out.
                unsafe { self.add_run(region, skip, frames) }
                self.free += frames;
            }
        }
    }

    /// Puts the marks at the start of the largest region. Returns its number and how many frames
    /// they take.
    fn reserve_marks(&mut self, marks: usize) -> Option<(usize, usize)> {
        let (number, region) =
            self.regions.iter().enumerate().max_by_key(|(_, region)| region.frames)?;
        let (first_mark, frames) = (region.first_mark, marks.div_ceil(8 * PAGE_SIZE));
        self.marks.outside = Some(region.start);
        self.marks.clear(first_mark, frames);
        Some((number, frames))
    }

    /// Frames that the allocator has, used or free, without those that are withdrawn.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Frames that are free.
    pub(super) fn free_frames(&self) -> usize {
        self.free
    }

    /// Length of the longest free run, in frames, without the few that are at hand.
    pub(super) fn longest_run(&self) -> usize {
        self.runs.longest()
    }

    /// Makes frames a free run of their own.
    ///
    /// # Safety
    /// Nobody uses the frames, and no free run is next to them.
    unsafe fn add_run(&mut self, region: usize, first: usize, frames: usize) {
        let Region { start, first_mark, .. } = self.regions[region];
        self.marks.set(first_mark + first);
        self.marks.set(first_mark + first + frames - 1);
        // SAFETY: the frames lie in the region and nobody uses them.
        unsafe { self.runs.insert(start.add(first * PAGE_SIZE), frames) }
    }

    /// Allocates `frames` frames out of a free run, after the first `skip` of them.
    ///
    /// # Safety
    /// The run is in the lists and has at least `skip + frames` frames.
    unsafe fn carve(&mut self, run: NonNull<FreeRun>, skip: usize, frames: usize) -> NonNull<u8> {
        // SAFETY: the run is in the lists.
        let length = unsafe { run.as_ref() }.frames;
        // SAFETY: as above.
        unsafe { self.runs.remove(run) }
        let (region, first) = self.locate(run.cast());
        let rest = length - skip - frames;
        // SAFETY: both parts belong to the run that was just taken out of the lists, and what lies
        // between them becomes allocated.
        unsafe {
            if skip > 0 {
                self.add_run(region, first, skip);
            }
            if rest > 0 {
                self.add_run(region, first + skip + frames, rest);
            }
        }
        self.marks.clear(self.regions[region].first_mark + first + skip, frames);
        // SAFETY: the run is longer than `skip` frames.
        unsafe { run.cast::<u8>().add(skip * PAGE_SIZE) }
    }

    /// The region that `frame` lies in, and its number there.
    ///
    /// # Panics
    /// When it lies in none: whoever passed it has never allocated it.
    fn locate(&self, frame: NonNull<u8>) -> (usize, usize) {
        for (number, region) in self.regions.iter().enumerate() {
            let offset = frame.addr().get().wrapping_sub(region.start.addr().get());
            if offset / PAGE_SIZE < region.frames {
                return (number, offset / PAGE_SIZE);
            }
        }
        panic!("{frame:p} was freed but is not memory of the frame allocator");
    }

    /// The free run of which the frame is the first, if it is one.
    fn run_from(&self, region: &Region, frame: usize) -> Option<NonNull<FreeRun>> {
        let is_free = frame < region.frames && self.marks.get(region.first_mark + frame);
        // SAFETY: the frame lies in the region.
        is_free.then(|| unsafe { region.start.add(frame * PAGE_SIZE) }.cast())
    }

    /// The free run that ends before the frame, and its length.
    fn run_before(&self, region: &Region, frame: usize) -> Option<(NonNull<FreeRun>, usize)> {
        let last = frame.checked_sub(1)?;
        if !self.marks.get(region.first_mark + last) {
            return None;
        }
        // SAFETY: the last frame of a free run begins with the number of frames in it.
        let frames = unsafe { region.start.add(last * PAGE_SIZE).cast::<usize>().read() };
        // SAFETY: the run lies in the region.
        Some((unsafe { region.start.add((frame - frames) * PAGE_SIZE) }.cast(), frames))
    }

    fn allocate_run(&mut self, frames: usize, align: usize) -> Option<NonNull<u8>> {
        let skip_in = |start: NonNull<u8>| start.align_offset_frames(align);
        let run = match self.runs.find(frames.checked_add(align - 1)?) {
            Some(run) => run,
            None if align == 1 => return None,
            None => self.runs.search(frames, |(start, length)| {
                length.checked_sub(skip_in(start)).is_some_and(|rest| rest >= frames)
            })?,
        };
        // SAFETY: the run was found in the lists, and is long enough behind what is skipped.
        Some(unsafe { self.carve(run, skip_in(run.cast()), frames) })
    }

    /// Puts the frames at hand into runs. Returns whether there were some.
    #[cold]
    fn put_away(&mut self) -> bool {
        let had_some = !self.at_hand.is_empty();
        while let Some(frame) = self.at_hand.pop() {
            // SAFETY: the frame was free, and nothing refers to it any more.
            unsafe { self.free_run(frame, 1) }
        }
        had_some
    }

    /// Makes frames a free run, together with the free runs next to them.
    ///
    /// # Safety
    /// The frames are part of this allocator, in no free run, and nobody uses them.
    unsafe fn free_run(&mut self, start: NonNull<u8>, frames: usize) {
        let (number, mut first) = self.locate(start);
        let region = &self.regions[number];
        let mut length = frames;
        debug_assert!(first + frames <= region.frames && self.run_from(region, first).is_none());
        let after = self.run_from(region, first + frames);
        if let Some((before, frames)) = self.run_before(region, first) {
            first -= frames;
            length += frames;
            // SAFETY: a marked frame next to allocated ones is the edge of a free run.
            unsafe { self.runs.remove(before) }
        }
        if let Some(after) = after {
            // SAFETY: as above.
            unsafe {
                length += after.as_ref().frames;
                self.runs.remove(after);
            }
        }
        // SAFETY: the caller gives up the frames, and the neighbours were free and are in no list.
        unsafe { self.add_run(number, first, length) }
    }
}

// SAFETY: frames are in a free run or at hand, or they are allocated; `allocate` and `extend` move
// them from one to the other and `free` back. A run found by `search` has an aligned part that is
// long enough.
unsafe impl FrameSource for FrameAllocator {
    fn allocate(&mut self, frames: usize, align: usize) -> Option<NonNull<u8>> {
        let is_single = frames == 1 && align == 1;
        let mut start = if is_single { self.at_hand.pop() } else { None };
        if start.is_none() {
            start = self.allocate_run(frames, align);
        }
        if start.is_none() && self.put_away() {
            start = self.allocate_run(frames, align);
        }
        if start.is_some() {
            self.free -= frames;
        }
        start
    }

    unsafe fn free(&mut self, start: NonNull<u8>, frames: usize) {
        self.free += frames;
        if frames > 1 || self.at_hand.push(start).is_err() {
            // SAFETY: the caller gives up the frames.
            unsafe { self.free_run(start, frames) }
        }
    }

    unsafe fn extend(&mut self, start: NonNull<u8>, frames: usize, more: usize) -> bool {
        self.put_away();
        let (number, first) = self.locate(start);
        let Some(after) = self.run_from(&self.regions[number], first + frames) else {
            return false;
        };
        // SAFETY: a marked frame next to allocated ones is the edge of a free run.
        if unsafe { after.as_ref() }.frames < more {
            return false;
        }
        // SAFETY: the run is in the lists and long enough.
        unsafe { self.carve(after, 0, more) };
        self.free -= more;
        true
    }
}

/// How many frames an address is away from the next multiple of that many frames.
trait AlignOffset {
    fn align_offset_frames(self, align: usize) -> usize;
}

impl AlignOffset for NonNull<u8> {
    fn align_offset_frames(self, align: usize) -> usize {
        (self.addr().get() / PAGE_SIZE).wrapping_neg() & (align - 1)
    }
}

/// One bit per frame.
struct Marks {
    /// Where they are, if there are more than fit in here.
    outside: Option<NonNull<u8>>,
    inline: [u8; INLINE_MARKS],
}

impl Marks {
    fn get(&self, mark: usize) -> bool {
        let byte = match self.outside {
            // SAFETY: `reserve_marks` made room for all marks of all regions.
            Some(marks) => unsafe { marks.add(mark / 8).read() },
            None => self.inline[mark / 8],
        };
        byte & (1 << (mark % 8)) != 0
    }

    fn set(&mut self, mark: usize) {
        self.bytes(mark / 8, 1)[0] |= 1 << (mark % 8);
    }

    fn clear(&mut self, first: usize, count: usize) {
        let end = first + count;
        let bytes = self.bytes(first / 8, end.div_ceil(8) - first / 8);
        let keep_first = (1u8 << (first % 8)) - 1;
        let keep_last = if end.is_multiple_of(8) { 0 } else { !((1u8 << (end % 8)) - 1) };
        match bytes {
            [only] => *only &= keep_first | keep_last,
            [head, middle @ .., tail] => {
                *head &= keep_first;
                middle.fill(0);
                *tail &= keep_last;
            }
            [] => {}
        }
    }

    fn bytes(&mut self, first: usize, count: usize) -> &mut [u8] {
        match self.outside {
            // SAFETY: `reserve_marks` made room for all marks of all regions, in frames that are
            // allocated to nobody else.
            Some(marks) => unsafe { slice::from_raw_parts_mut(marks.add(first).as_ptr(), count) },
            None => &mut self.inline[first..first + count],
        }
    }
}

#[cfg(test)]
mod tests;
