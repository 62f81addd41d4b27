//! Waiting for a point in time.
//!
//! Others may decide how many wait, as clients of a server do, and each timer takes memory. One for
//! which there is none right now does without: its task has its turn again and again, between those
//! of others, until there is memory or the time has come.

use core::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Instant, TIMERS, Timers, queue::TimerId};
use crate::executor::{self, Awaiting};

/// Waits for `duration`, which begins at this call.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until `deadline`. One in the past gives all other ready tasks a turn first.
pub const fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, timer: None, local: PhantomData }
}

/// A future that is ready at a point in time. Dropping it removes its timer.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
    timer: Option<TimerId>,
    /// Not `Send`: the number means something to this thread's timers only.
    local: PhantomData<*const ()>,
}

impl Sleep {
    /// When the future becomes ready.
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits until another point in time, also if the first one has passed. Cheaper than a new
    /// `Sleep` when done again and again.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        let Some(timer) = self.timer else { return };
        if !Timers::with(|queue| queue.reset(timer, deadline.as_nanos()))
            && let Some(waker) = self.remove()
        {
            waker.wake();
        }
    }

    /// Does without the timer. Returns whom it would have woken.
    fn remove(&mut self) -> Option<Waker> {
        let timer = self.timer.take()?;
        Timers::with(|queue| queue.remove(timer))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.as_nanos();
        let has_fired = match self.timer {
            Some(timer) => TIMERS.with(|timers| timers.queue.borrow_mut().poll(timer, cx.waker())),
            None => {
                self.timer = Timers::with(|queue| queue.insert(deadline, cx.waker()));
                self.timer.is_none() && self.deadline <= Instant::now()
            }
        };
        if has_fired {
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            cx.waker().wake_by_ref();
        }
        executor::describe(Awaiting::new("its timer at {time}", deadline));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        drop(self.remove());
    }
}
