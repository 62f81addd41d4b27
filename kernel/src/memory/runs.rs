//! Free runs of frames, sorted by length.
//!
//! A run describes itself in its own first bytes, so that the lists need no memory. There is a list
//! for each length up to 7 frames and four for each doubling above; a bit per list tells which of
//! them are not empty, so finding a run that is long enough takes a few instructions.

use core::ptr::NonNull;

use mayfly_arch::PAGE_SIZE;

const LISTS: usize = 64;

/// What the first frame of a free run begins with. The last frame begins with the number of
/// frames, too.
#[repr(C)]
pub(super) struct FreeRun {
    pub(super) frames: usize,
    next: Option<NonNull<FreeRun>>,
    previous: Option<NonNull<FreeRun>>,
}

/// The lists. Every run in them is memory that belongs to the lists alone.
pub(super) struct RunLists {
    heads: [Option<NonNull<FreeRun>>; LISTS],
    occupied: u64,
}

/// The list that holds runs of this many frames, at least one. The last list has no upper limit.
const fn list_of(frames: usize) -> usize {
    if frames < 8 {
        return frames - 1;
    }
    let doubling = frames.ilog2() as usize;
    let list = 7 + (doubling - 3) * 4 + ((frames >> (doubling - 2)) & 3);
    if list < LISTS { list } else { LISTS - 1 }
}

/// The first list all of whose runs are this long, or `LISTS`.
const fn list_for(frames: usize) -> usize {
    let list = list_of(frames);
    let is_lowest = frames < 8 || frames.trailing_zeros() + 2 >= frames.ilog2();
    if is_lowest && list < LISTS - 1 { list } else { list + 1 }
}

impl RunLists {
    pub(super) const fn new() -> Self {
        Self { heads: [None; LISTS], occupied: 0 }
    }

    /// Puts a run into its list.
    ///
    /// # Safety
    /// The frames are writable and nobody else uses them.
    pub(super) unsafe fn insert(&mut self, start: NonNull<u8>, frames: usize) {
        let list = list_of(frames);
        let run = start.cast::<FreeRun>();
        let next = self.heads[list];
        // SAFETY: the caller gives the run's memory to this list; a frame is aligned for, and
        // larger than, a `FreeRun`. The run at `next` is in the list, so it belongs to it, too.
        unsafe {
            start.add((frames - 1) * PAGE_SIZE).cast::<usize>().write(frames);
            run.write(FreeRun { frames, next, previous: None });
            if let Some(mut next) = next {
                next.as_mut().previous = Some(run);
            }
        }
        self.heads[list] = Some(run);
        self.occupied |= 1 << list;
    }

    /// Takes a run out of its list.
    ///
    /// # Safety
    /// The run is in one of these lists.
    pub(super) unsafe fn remove(&mut self, run: NonNull<FreeRun>) {
        // SAFETY: the run and its neighbours are in these lists, so they hold a `FreeRun`.
        unsafe {
            let FreeRun { frames, next, previous } = run.read();
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => {
                    let list = list_of(frames);
                    self.heads[list] = next;
                    if next.is_none() {
                        self.occupied &= !(1 << list);
                    }
                }
            }
        }
    }

    /// A run of at least this many frames, from the list with the shortest that is sure to do.
    pub(super) fn find(&self, frames: usize) -> Option<NonNull<FreeRun>> {
        let list = list_for(frames);
        let longer = self.occupied.checked_shr(list as u32).unwrap_or(0);
        if longer != 0 {
            return self.heads[list + longer.trailing_zeros() as usize];
        }
        self.search(frames, |run| run.1 >= frames)
    }

    /// A run of which `fits`, given its start and length, is true. Looks at every run of at least
    /// this many frames.
    pub(super) fn search(
        &self,
        frames: usize,
        fits: impl Fn((NonNull<u8>, usize)) -> bool,
    ) -> Option<NonNull<FreeRun>> {
        (list_of(frames)..LISTS)
            .flat_map(|list| self.runs(list))
            .find(|&(run, frames)| fits((run.cast(), frames)))
            .map(|(run, _)| run)
    }

    /// One of the shortest runs.
    pub(super) fn shortest(&self) -> Option<NonNull<FreeRun>> {
        *self.heads.get(self.occupied.trailing_zeros() as usize)?
    }

    /// Length of the longest run.
    pub(super) fn longest(&self) -> usize {
        let Some(list) = self.occupied.checked_ilog2() else { return 0 };
        self.runs(list as usize).map(|(_, frames)| frames).max().unwrap_or(0)
    }

    /// The runs of a list with their lengths.
    fn runs(&self, list: usize) -> impl Iterator<Item = (NonNull<FreeRun>, usize)> {
        let mut next = self.heads[list];
        core::iter::from_fn(move || {
            let run = next?;
            // SAFETY: the run is in the list, so it holds a `FreeRun`, and the list does not
            // change while it is borrowed.
            let header = unsafe { run.as_ref() };
            next = header.next;
            Some((run, header.frames))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "nothing unsafe in it, and it takes minutes")]
    fn lists_are_contiguous_and_the_right_one_is_searched() {
        let mut shortest = [usize::MAX; LISTS + 1];
        for frames in 1..1 << 18 {
            let list = list_of(frames);
            shortest[list] = shortest[list].min(frames);
            assert!(frames == 1 || list - list_of(frames - 1) <= 1, "{frames}");
        }
        assert_eq!(list_of(usize::MAX), LISTS - 1);
        for frames in 1..1 << 17 {
            let list = list_for(frames);
            assert!(shortest[list] >= frames, "list {list} has runs of less than {frames}");
            assert!(list <= list_of(frames) + 1);
        }
    }
}
