//! Frames that have no memory for a time, because the hypervisor has it.

use core::ptr::NonNull;

use mayfly_arch::PAGE_SIZE;

use super::FrameAllocator;

impl FrameAllocator {
    /// Withdraws free frames that are next to each other, at most `most`, so that at least `reserve`
    /// are left: they are neither used nor touched until they are passed to
    /// [`restore`](Self::restore). `None` if there are none to withdraw.
    ///
    /// They are from one of the shortest free runs, so that what is left is in long ones.
    #[cold]
    pub(in crate::memory) fn withdraw(
        &mut self,
        most: usize,
        reserve: usize,
    ) -> Option<(NonNull<u8>, usize)> {
        let most = most.min(self.free.saturating_sub(reserve));
        self.put_away();
        let run = self.runs.shortest().filter(|_| most > 0)?;
        // SAFETY: the run is in the lists.
        let frames = unsafe { run.as_ref() }.frames.min(most);
        // SAFETY: as above, and it is long enough.
        let start = unsafe { self.carve(run, 0, frames) };
        self.free -= frames;
        self.total -= frames;
        Some((start, frames))
    }

    /// Makes frames free that were withdrawn.
    ///
    /// # Safety
    /// They were, in one piece or in several that are neighbours, and have memory.
    pub(in crate::memory) unsafe fn restore(&mut self, start: NonNull<u8>, frames: usize) {
        self.total += frames;
        self.free += frames;
        // One by one, as neighbours may be of two regions.
        for frame in 0..frames {
            // SAFETY: they are part of this allocator, and nobody has used them meanwhile.
            unsafe { self.free_run(start.add(frame * PAGE_SIZE), 1) }
        }
    }
}
