//! Frames that have no memory any more, because the hypervisor has it, and that get some again later.
//!
//! A bit for each frame tells which they are, as nothing can be noted in themselves. The shortest free
//! runs go first, so that what is left is in long ones.

use core::ptr::NonNull;

use mayfly_arch::PAGE_SIZE;

use super::{FrameAllocator, INLINE_MARKS, Marks};
use crate::memory::source::FrameSource;

/// Which frames are withdrawn.
pub(super) struct Withdrawn {
    pub(super) marks: Marks,
    count: usize,
    /// None of a lower number is marked.
    lowest: usize,
}

impl Withdrawn {
    pub(super) const NONE: Self = Self { marks: Marks::NONE, count: 0, lowest: 0 };

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl FrameAllocator {
    /// Withdraws free frames that are next to each other, at most `most`, so that at least `reserve`
    /// are left: they are neither used nor touched until they are passed to
    /// [`restore`](Self::restore). `None` if there are none to withdraw.
    pub(in crate::memory) fn withdraw(
        &mut self,
        most: usize,
        reserve: usize,
    ) -> Option<(NonNull<u8>, usize)> {
        let has_marks = self.withdrawn.marks.outside.is_some() || self.total <= INLINE_MARKS * 8;
        let for_marks = if has_marks { 0 } else { self.total.div_ceil(8 * PAGE_SIZE) };
        let most = most.min(self.free.saturating_sub(reserve + for_marks));
        if most == 0 {
            return None;
        }
        if for_marks > 0 {
            self.withdrawn.marks.outside = Some(self.allocate(for_marks, 1)?);
            self.withdrawn.marks.clear(0, self.total);
        }
        self.put_away();
        let run = self.runs.shortest()?;
        // SAFETY: the run is in the lists.
        let frames = unsafe { run.as_ref() }.frames.min(most);
        // SAFETY: as above, and it is long enough.
        let start = unsafe { self.carve(run, 0, frames) };
        self.free -= frames;
        let first = self.mark_of(start);
        (first..first + frames).for_each(|mark| self.withdrawn.marks.set(mark));
        self.withdrawn.count += frames;
        self.withdrawn.lowest = self.withdrawn.lowest.min(first);
        Some((start, frames))
    }

    /// Frames that are withdrawn and next to each other, at most `most`.
    pub(in crate::memory) fn withdrawn(&mut self, most: usize) -> Option<(NonNull<u8>, usize)> {
        if self.withdrawn.count == 0 {
            return None;
        }
        let is_marked = |mark: &usize| self.withdrawn.marks.get(*mark);
        let first = (self.withdrawn.lowest..self.total).find(is_marked)?;
        self.withdrawn.lowest = first;
        let region = self.regions.iter().rfind(|region| region.first_mark <= first)?;
        let end = region.first_mark + region.frames;
        let frames = (first..end).take(most).take_while(is_marked).count();
        // SAFETY: the mark is that of a frame in the region.
        Some((unsafe { region.start.add((first - region.first_mark) * PAGE_SIZE) }, frames))
    }

    /// Makes frames free that were withdrawn.
    ///
    /// # Safety
    /// They were, and have memory.
    pub(in crate::memory) unsafe fn restore(&mut self, start: NonNull<u8>, frames: usize) {
        let first = self.mark_of(start);
        self.withdrawn.marks.clear(first, frames);
        self.withdrawn.count -= frames;
        self.free += frames;
        // SAFETY: they are part of this allocator, and nobody had them meanwhile.
        unsafe { self.free_run(start, frames) }
    }

    fn mark_of(&self, frame: NonNull<u8>) -> usize {
        let (region, number) = self.locate(frame);
        self.regions[region].first_mark + number
    }
}
