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

use core::{convert::Infallible, fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};

use alloc::string::String;

use crate::{
    hypercalls::Hypercalls,
    store::{Store, StoreError},
};

/// Frames that Xen is told of at once. In between, others have their turn.
const BATCH: usize = 64;

/// KiB in a frame, which Xen counts in.
const KIB_PER_FRAME: u64 = 4;

/// How long to wait before the next try when nothing goes on, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(32);

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
/// Nobody uses frames that [`withdraw`](Self::withdraw) or [`withdrawn`](Self::withdrawn) have
/// returned, nor relies on what is in them, until they are restored.
pub unsafe trait Memory {
    /// Withdraws at least one frame and at most `most`. `None` if the guest cannot spare any.
    fn withdraw(&self, most: usize) -> Option<Frames>;

    /// Frames that are withdrawn, at most `most`. `None` if there are none.
    fn withdrawn(&self, most: usize) -> Option<Frames>;

    /// Takes frames into use again.
    ///
    /// # Safety
    /// They are withdrawn, and have memory.
    unsafe fn restore(&self, frames: Frames);
}

/// What Xen does with a guest's memory, or a fake of it.
pub(crate) trait Reservation {
    /// Takes away the memory at frames. Returns of how many, from the first on.
    ///
    /// # Safety
    /// Nobody uses the frames as long as they have no memory.
    unsafe fn decrease(&self, frames: &[u64]) -> usize;

    /// Puts memory at frames. Returns at how many, from the first on.
    ///
    /// # Safety
    /// The frames have none.
    unsafe fn populate(&self, frames: &[u64]) -> usize;
}

/// Follows `memory/target`, until XenStore fails. `total` is how much memory the guest's memory map
/// shows, in bytes; `sleep` is the kernel's.
///
/// # Errors
/// That of XenStore.
pub async fn follow(
    store: Store,
    total: u64,
    memory: impl Memory,
    sleep: impl AsyncFn(Duration),
) -> Result<Infallible, StoreError> {
    Balloon::new(memory, Hypercalls, total).follow(store, sleep).await
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

struct Balloon<M, X> {
    memory: M,
    xen: X,
    /// KiB that the guest has when nothing is given back, as the tools count, if that is known.
    most: Option<u64>,
    /// KiB that the memory map shows.
    total: u64,
    /// Frames that have been given back.
    given: usize,
    /// Frames that are to be.
    wanted: usize,
    /// What the log was told last.
    told: Way,
    /// Before the next try.
    pause: Duration,
}

impl<M: Memory, X: Reservation> Balloon<M, X> {
    fn new(memory: M, xen: X, total: u64) -> Self {
        let (most, total) = (None, total / 1024);
        Self { memory, xen, most, total, given: 0, wanted: 0, told: Way::There, pause: FIRST }
    }

    async fn follow(
        mut self,
        store: Store,
        sleep: impl AsyncFn(Duration),
    ) -> Result<Infallible, StoreError> {
        let mut watch = store.watch("memory/target").await?;
        loop {
            let pause = self.go();
            let mut sleeping = pin!(sleep(pause.unwrap_or_default()));
            let mut has_waited = false;
            let is_told = poll_fn(|cx| {
                if let Poll::Ready(told) = watch.poll_next(cx) {
                    return Poll::Ready(told.map(|_| true));
                }
                match pause {
                    None => return Poll::Pending,
                    Some(Duration::ZERO) if !has_waited => cx.waker().wake_by_ref(),
                    Some(Duration::ZERO) => return Poll::Ready(Ok(false)),
                    Some(_) => return sleeping.as_mut().poll(cx).map(|()| Ok(false)),
                }
                has_waited = true;
                Poll::Pending
            });
            if is_told.await? {
                let paths = ["memory/target", "memory/static-max"].map(String::from);
                let values = store.read_each(&paths).await?;
                let mut values = values.iter().map(|value| value.as_ref()?.parse().ok());
                self.ask(values.next().flatten(), values.next().flatten());
            }
        }
    }

    /// The tools want this, in KiB, where it makes sense.
    ///
    /// That `xl mem-max` changes what the guest has at most later on does not change its memory map.
    fn ask(&mut self, target: Option<u64>, static_max: Option<u64>) {
        let Some(target) = target else { return };
        let most = *self.most.get_or_insert(self.total.max(static_max.unwrap_or_default()));
        let wanted = most.saturating_sub(target) / KIB_PER_FRAME;
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        if wanted != self.wanted {
            self.wanted = wanted;
            self.told = Way::On;
            self.pause = FIRST;
        }
    }

    /// Goes on. Returns after which time to do so again, if there is reason to.
    fn go(&mut self) -> Option<Duration> {
        let way = self.step();
        if way == Way::On {
            self.pause = FIRST;
            return Some(Duration::ZERO);
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
        if self.given < self.wanted { self.give() } else { self.take() }
    }

    fn give(&mut self) -> Way {
        let Some(frames) = self.memory.withdraw(BATCH.min(self.wanted - self.given)) else {
            return Way::InUse;
        };
        // SAFETY: nobody uses them until they are restored.
        let done = frames.tell(|frames| unsafe { self.xen.decrease(frames) });
        self.given += done;
        if done == frames.count {
            return Way::On;
        }
        let rest = Frames { first: frames.first + done as u64, count: frames.count - done };
        // SAFETY: withdrawn above, and Xen has left them their memory.
        unsafe { self.memory.restore(rest) };
        Way::Refused
    }

    fn take(&mut self) -> Way {
        let most = BATCH.min(self.given - self.wanted);
        let frames = if most > 0 { self.memory.withdrawn(most) } else { None };
        let Some(frames) = frames else { return Way::There };
        // SAFETY: all that are withdrawn were given back.
        let done = frames.tell(|frames| unsafe { self.xen.populate(frames) });
        self.given -= done;
        if done > 0 {
            // SAFETY: they are withdrawn, and have got memory.
            unsafe { self.memory.restore(Frames { count: done, ..frames }) };
        }
        if done == frames.count { Way::On } else { Way::Refused }
    }
}

impl Frames {
    /// Has `xen` do something with the frames, of which there are at most as many as in a batch.
    fn tell(self, xen: impl FnOnce(&[u64]) -> usize) -> usize {
        let numbers: [u64; BATCH] = core::array::from_fn(|index| self.first + index as u64);
        xen(numbers.get(..self.count).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
