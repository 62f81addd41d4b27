//! Ballooning: `xl mem-set` makes a running guest smaller, and larger again.
//!
//! The tools write how much memory the guest is to have to `memory/target`, in KiB, and how much it
//! has at most to `memory/static-max`, which is what its memory map shows
//! (docs/misc/xenstore-paths.pandoc in Xen). The guest gives the difference back: it chooses frames
//! that nobody uses, and has Xen take the memory away that is there. To become larger it has Xen put
//! memory at the same frames.
//!
//! On x86 a guest can begin with less memory than its memory map shows (`maxmem` above `memory`, in
//! Xen's words populate on demand). Xen puts memory at a frame when it is first used, and ends the
//! guest when it has no more for that. The target then is less from the start, and the guest gives
//! back frames at which there was never anything.

use alloc::{string::String, vec::Vec};
use core::{fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};

use crate::{
    hypercalls::Hypercalls,
    store::{StoreError, Watch, poll_any},
};

/// The node that says how much memory the guest is to have, which is to be watched.
pub const TARGET: &str = "memory/target";
/// The node that says how much it has at most.
pub const STATIC_MAX: &str = "memory/static-max";

/// Frames that Xen is told of at once. In between, others have their turn.
const BATCH: usize = 64;

/// KiB in a frame, which Xen counts in.
const KIB_PER_FRAME: u64 = 4;

/// Seconds before the next try when nothing goes on, at first and at most.
const FIRST: u64 = 1;
const LONGEST: u64 = 32;

/// Guest frames that are next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The number of the first.
    pub first: u64,
    /// How many they are.
    pub count: usize,
}

/// The guest's memory, of which frames can be withdrawn from use.
///
/// # Safety
/// Nobody uses frames that [`withdraw`](Self::withdraw) has returned, nor relies on what is in them,
/// until they are restored.
pub unsafe trait Memory {
    /// Withdraws at least one frame and at most `most`. `None` if the guest cannot spare any.
    fn withdraw(&self, most: usize) -> Option<Frames>;

    /// Takes frames into use again.
    ///
    /// # Safety
    /// They are withdrawn, all at once or one after the other, and have memory.
    unsafe fn restore(&self, frames: Frames);
}

/// What Xen does with a guest's memory, or a fake of it.
pub(crate) trait Reservation {
    /// Changes at which frames there is memory. Returns at how many it was done, from the first on.
    ///
    /// # Safety
    /// Nobody uses the frames as long as they have no memory. They have some for
    /// [`Change::Decrease`], and none for [`Change::Populate`].
    unsafe fn change(&self, change: Change, frames: &[u64]) -> usize;
}

/// What to do with the memory at frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// To take it away (`XENMEM_decrease_reservation`).
    Decrease = 1,
    /// To put some there (`XENMEM_populate_physmap`).
    Populate = 6,
}

/// Where the guest is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Where it is to be.
    There,
    /// There is more to do.
    On,
    /// It is to be smaller, and has no frames to spare.
    InUse,
    /// It is to be larger or smaller, and Xen does not do it.
    Refused,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::There | Self::On => "as asked for",
            Self::InUse => "the rest is in use",
            Self::Refused => "Xen does not do it",
        })
    }
}

/// What makes the guest as large as it is to be.
pub struct Balloon<M> {
    memory: M,
    xen: &'static dyn Reservation,
    /// KiB that the guest has when nothing is given back, as the tools count, if that is known.
    most: Option<u64>,
    /// KiB that the memory map shows.
    total: u64,
    /// What has been given back, and how many frames that is.
    runs: Vec<Frames>,
    given: usize,
    /// How many frames are to be.
    wanted: usize,
    /// What the log was told last.
    told: Way,
    /// Seconds before the next try.
    pause: u64,
}

impl<M: Memory> Balloon<M> {
    /// For a guest whose memory map shows `total` bytes of memory.
    pub fn new(memory: M, total: u64) -> Self {
        Self::with(memory, &Hypercalls, total)
    }

    fn with(memory: M, xen: &'static dyn Reservation, total: u64) -> Self {
        Self {
            memory,
            xen,
            most: None,
            total: total / 1024,
            runs: Vec::new(),
            given: 0,
            wanted: 0,
            told: Way::There,
            pause: FIRST,
        }
    }

    /// The tools want this: the values of [`TARGET`] and [`STATIC_MAX`], which count where they make
    /// sense.
    #[cold]
    pub fn ask(&mut self, values: &[Option<String>]) {
        let mut kib = values.iter().map(number);
        let (Some(Some(target)), Some(static_max)) = (kib.next(), kib.next()) else { return };
        // What `xl mem-max` changes later on does not change the memory map.
        let most = *self.most.get_or_insert(self.total.max(static_max.unwrap_or_default()));
        let wanted = most.saturating_sub(target) / KIB_PER_FRAME;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        if wanted != self.wanted {
            self.wanted = wanted;
            self.told = Way::On;
            self.pause = FIRST;
        }
    }

    /// Whether the guest is not as large as it is to be.
    pub fn has_work(&self) -> bool {
        self.given != self.wanted
    }

    /// Gives memory back, or gets it, until one of the watches has something to tell, with the
    /// kernel's `sleep`.
    ///
    /// # Errors
    /// As of [`Watch::next`].
    pub async fn work_until(
        &mut self,
        watches: &mut [Watch],
        sleep: impl AsyncFn(Duration),
    ) -> Result<(), StoreError> {
        loop {
            let pause = self.go();
            let mut sleeping = pin!(sleep(Duration::from_secs(pause.unwrap_or_default())));
            let mut has_waited = false;
            let is_told = poll_fn(|cx| {
                if let Poll::Ready(told) = poll_any(watches, cx) {
                    return Poll::Ready(told.map(|()| true));
                }
                match pause {
                    None => return Poll::Pending,
                    Some(0) if !has_waited => cx.waker().wake_by_ref(),
                    Some(0) => return Poll::Ready(Ok(false)),
                    Some(_) => return sleeping.as_mut().poll(cx).map(|()| Ok(false)),
                }
                has_waited = true;
                Poll::Pending
            });
            if is_told.await? {
                return Ok(());
            }
        }
    }

    /// Goes on. Returns after how many seconds to do so again, if there is reason to.
    #[cold]
    fn go(&mut self) -> Option<u64> {
        let way = self.step();
        if way == Way::On {
            self.pause = FIRST;
            return Some(0);
        }
        if way != self.told {
            self.told = way;
            self.report();
        }
        if way == Way::There {
            return None;
        }
        let pause = self.pause;
        self.pause = LONGEST.min(pause * 2);
        Some(pause)
    }

    fn report(&self) {
        let most = self.most.unwrap_or_default();
        let less = |frames: usize| most.saturating_sub(frames as u64 * KIB_PER_FRAME);
        let (now, target, way) = (less(self.given), less(self.wanted), self.told);
        let level = if way == Way::There { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "{now} KiB of memory, of {target}: {way}");
    }

    /// Comes a bit closer to where the guest is to be.
    fn step(&mut self) -> Way {
        let is_smaller = self.given < self.wanted;
        let most = self.given.abs_diff(self.wanted).min(BATCH);
        let frames = if is_smaller {
            // There is always room to note what is given.
            let has_room = self.runs.try_reserve(1).is_ok();
            let frames = if has_room { self.memory.withdraw(most) } else { None };
            let Some(frames) = frames else { return Way::InUse };
            frames
        } else {
            let last = self.runs.last().filter(|_| most > 0);
            let Some(last) = last else { return Way::There };
            last.split_at(most).0
        };
        // SAFETY: withdrawn just now, with memory, or before, and then without; nobody uses them.
        let done = unsafe { frames.change(self.xen, is_smaller) };
        let (done, rest) = frames.split_at(done);
        let filled = if is_smaller {
            self.given += done.count;
            match self.runs.last_mut() {
                Some(last) if last.end() == done.first => last.count += done.count,
                _ if done.count > 0 => self.runs.push(done),
                _ => {}
            }
            rest
        } else {
            self.given -= done.count;
            if let Some(last) = self.runs.last_mut() {
                *last = last.split_at(done.count).1;
            }
            self.runs.pop_if(|last| last.count == 0);
            done
        };
        if filled.count > 0 {
            // SAFETY: withdrawn, and with memory.
            unsafe { self.memory.restore(filled) };
        }
        if rest.count == 0 { Way::On } else { Way::Refused }
    }
}

/// The number that a node says. Not worth being there twice.
#[inline(never)]
fn number(value: &Option<String>) -> Option<u64> {
    value.as_ref()?.parse().ok()
}

impl Frames {
    /// The number of the one behind the last.
    fn end(self) -> u64 {
        self.first + self.count as u64
    }

    /// The first of them, at most `count`, and the others.
    fn split_at(self, count: usize) -> (Self, Self) {
        let count = count.min(self.count);
        let rest = Self { first: self.first + count as u64, count: self.count - count };
        (Self { count, ..self }, rest)
    }

    /// Has Xen take away the memory at the frames, or put some there. Returns at how many it was done,
    /// from the first on.
    ///
    /// # Safety
    /// As of [`Reservation::change`].
    unsafe fn change(self, xen: &dyn Reservation, is_smaller: bool) -> usize {
        let change = if is_smaller { Change::Decrease } else { Change::Populate };
        let mut numbers = [0; BATCH];
        numbers.iter_mut().zip(self.first..).for_each(|(place, number)| *place = number);
        // SAFETY: the same conditions.
        unsafe { xen.change(change, numbers.get(..self.count).unwrap_or_default()) }
    }
}

impl<M> fmt::Debug for Balloon<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, wanted, .. } = self;
        f.debug_struct("Balloon")
            .field("given", given)
            .field("wanted", wanted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
