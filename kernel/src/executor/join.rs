//! The handle of a spawned task.

use core::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Awaiting, EXECUTOR, describe, slab::NONE};

/// Owns a task: a future for its result. Dropping the handle cancels the task, so a task never
/// outlives the interest in it by accident; [`detach`](Self::detach) lets it run on its own.
#[must_use = "dropping the handle cancels the task: keep it, await it, or call `.detach()`"]
pub struct JoinHandle<T> {
    index: u32,
    /// Not `Send`: the number means something to this thread's executor only.
    result: PhantomData<*const T>,
}

impl<T> JoinHandle<T> {
    pub(super) const fn new(index: u32) -> Self {
        Self { index, result: PhantomData }
    }

    /// Lets the task run to its end, whether or not anybody waits for it. Its result is dropped.
    pub fn detach(mut self) {
        self.release();
    }

    /// Ends the task: its future is dropped now, or when it next waits if it runs at this moment.
    /// Awaiting the handle then gives [`JoinError::Cancelled`], or the result if the task had
    /// ended already.
    pub fn abort(&self) {
        if self.index != NONE {
            EXECUTOR.with(|executor| executor.cancel(self.index));
        }
    }

    /// Whether the task has ended, so that awaiting the handle gives a result at once.
    pub fn is_finished(&self) -> bool {
        self.index == NONE || EXECUTOR.with(|executor| executor.is_finished(self.index))
    }

    /// The number of the task.
    #[cfg(target_os = "none")]
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    fn release(&mut self) {
        let index = core::mem::replace(&mut self.index, NONE);
        if index != NONE {
            EXECUTOR.with(|executor| executor.release_handle(index));
        }
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(self.index != NONE, "JoinHandle polled after it gave the result");
        let poll = EXECUTOR.with(|executor| executor.poll_result(self.index, cx.waker()));
        let Poll::Ready(outcome) = poll else {
            describe(Awaiting::new("the end of task #{}", u64::from(self.index)));
            return Poll::Pending;
        };
        self.index = NONE;
        // The task was spawned with a `T` as its result, so the error is out of reach.
        let result = outcome
            .and_then(|result| result.downcast::<T>().map_err(|_| JoinError::Cancelled))
            .map(|result| *result);
        Poll::Ready(result)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        self.abort();
        self.release();
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinHandle(task #{})", self.index)
    }
}

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// It was aborted, or the executor ended.
    Cancelled,
    /// It panicked, which the guest survived; see [`survive_panics`](super::survive_panics).
    Panicked,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "the task was cancelled before it had a result",
            Self::Panicked => "the task panicked; the report on the console says where",
        })
    }
}

impl core::error::Error for JoinError {}
