//! One task as the executor keeps it.

use alloc::{boxed::Box, sync::Arc};
use core::{
    any::Any,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{
    Awaiting, JoinError, TaskInfo, TaskName, TaskState,
    ready::{QueueRef, TaskWaker},
};
use crate::memory::OutOfMemory;

/// A future of any type, whose result is boxed if somebody wants it. A result without size, such
/// as `()`, costs no allocation.
pub(super) trait ErasedFuture {
    fn poll_erased(self: Pin<&mut Self>, cx: &mut Context<'_>, wanted: bool) -> Poll<Box<dyn Any>>;
}

impl<F: Future<Output: 'static>> ErasedFuture for F {
    fn poll_erased(self: Pin<&mut Self>, cx: &mut Context<'_>, wanted: bool) -> Poll<Box<dyn Any>> {
        self.poll(cx).map(|result| if wanted { Box::new(result) as _ } else { Box::new(()) as _ })
    }
}

pub(super) type BoxedFuture = Pin<Box<dyn ErasedFuture>>;
pub(super) type Outcome = Result<Box<dyn Any>, JoinError>;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The entry belongs to no task.
    Vacant,
    /// Between polls.
    Idle,
    /// Polled at this moment; the future is on the executor's stack.
    Running,
    /// The future that `run` was called with, between polls. It lives on the stack of `run`.
    Main,
    /// Ended. The entry stays until the handle is gone and the number out of the ready queue.
    Done,
}

/// An entry of the executor's slab.
pub(super) struct Task {
    /// The future, while the task is idle.
    future: Option<BoxedFuture>,
    /// A waker, taken out for the time of each poll.
    waker: Option<Waker>,
    /// What the wakers of this task share; kept for the next task of this entry.
    shared: Option<Arc<TaskWaker>>,
    pub(super) stage: Stage,
    /// Whether a `JoinHandle` exists.
    pub(super) has_handle: bool,
    /// Whether the task is to be cancelled when its poll returns.
    pub(super) is_aborted: bool,
    /// Whether a panic in the task ends the guest whatever the app chose.
    pub(super) is_essential: bool,
    /// Whether a task that has ended is still linked in the ready queue.
    is_linked: bool,
    polls: u32,
    awaiting: Option<Awaiting>,
    name: TaskName,
    /// Who waits for the result.
    pub(super) joiner: Option<Waker>,
    /// The result of a task that is done, until the handle takes it.
    result: Option<Box<dyn Any>>,
    /// Why there is none.
    error: JoinError,
}

// Sixteen of them fill a size class of the heap.
const _: () = assert!(size_of::<Task>() <= 128);

impl Default for Task {
    fn default() -> Self {
        Self {
            future: None,
            waker: None,
            shared: None,
            stage: Stage::Vacant,
            has_handle: false,
            is_aborted: false,
            is_essential: false,
            is_linked: false,
            polls: 0,
            awaiting: None,
            name: TaskName::Named(""),
            joiner: None,
            result: None,
            error: JoinError::Cancelled,
        }
    }
}

/// How a task is started.
pub(super) struct Terms {
    pub(super) name: TaskName,
    pub(super) has_handle: bool,
    pub(super) is_essential: bool,
}

/// What a task is polled with.
pub(super) struct Turn {
    pub(super) index: u32,
    /// `None` stands for the future of `run`.
    pub(super) future: Option<BoxedFuture>,
    pub(super) waker: Waker,
    /// Whether somebody wants the result.
    pub(super) is_wanted: bool,
}

impl Task {
    /// Gets a vacant entry a waker that only this entry has.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn prepare(&mut self, index: u32, queue: &QueueRef) -> Result<(), OutOfMemory> {
        // A waker that somebody kept beyond the end of the last task must not wake the next one.
        let unused = |shared: &Arc<TaskWaker>| Arc::strong_count(shared) == 2;
        if self.waker.is_none() || !self.shared.as_ref().is_some_and(unused) {
            let shared = TaskWaker::new(index, queue)?;
            self.waker = Some(Waker::from(Arc::clone(&shared)));
            self.shared = Some(shared);
        }
        Ok(())
    }

    /// Makes a prepared entry a task and puts it into the ready queue. Without a future, it is the
    /// main task.
    pub(super) fn start(&mut self, future: Option<BoxedFuture>, terms: Terms) {
        self.stage = if future.is_some() { Stage::Idle } else { Stage::Main };
        self.future = future;
        (self.name, self.has_handle) = (terms.name, terms.has_handle);
        self.is_essential = terms.is_essential;
        (self.polls, self.is_aborted, self.is_linked) = (0, false, false);
        self.awaiting = None;
        self.shared().start();
    }

    /// The part of the task that its wakers share.
    #[inline]
    pub(super) fn shared(&self) -> &TaskWaker {
        self.shared.as_ref().expect("a task in use has a waker")
    }

    /// Takes the task out for a poll, now that its number came out of the ready queue; the turn is
    /// `None` if it has ended meanwhile. Returns also the number that was linked to it.
    #[inline]
    pub(super) fn take_turn(&mut self, index: u32) -> (Option<Turn>, u32) {
        let shared = self.shared();
        let next = shared.next();
        if !matches!(self.stage, Stage::Idle | Stage::Main) {
            self.is_linked = false;
            return (None, next);
        }
        shared.reset();
        self.stage = Stage::Running;
        self.polls = self.polls.wrapping_add(1);
        let (future, is_wanted) = (self.future.take(), self.has_handle);
        (self.waker.take().map(|waker| Turn { index, future, waker, is_wanted }), next)
    }

    /// Puts the task back after a poll.
    #[inline]
    pub(super) fn suspend(
        &mut self,
        future: Option<BoxedFuture>,
        waker: Waker,
        awaiting: Option<Awaiting>,
    ) {
        self.stage = if future.is_some() { Stage::Idle } else { Stage::Main };
        fill(&mut self.future, future);
        fill(&mut self.waker, Some(waker));
        self.awaiting = awaiting;
    }

    /// Keeps a waker for the next task of this entry.
    pub(super) fn keep_waker(&mut self, waker: Waker) {
        self.waker = Some(waker);
    }

    /// Ends the task: no wake-up reaches it any more. Returns its future, if it was idle.
    pub(super) fn end(&mut self, outcome: Outcome) -> Option<BoxedFuture> {
        self.is_linked = self.shared().retire();
        self.stage = Stage::Done;
        match outcome {
            Ok(result) => self.result = Some(result),
            Err(error) => self.error = error,
        }
        self.future.take()
    }

    /// Takes the result of a task that is done.
    pub(super) fn take_outcome(&mut self) -> Outcome {
        self.result.take().ok_or(self.error)
    }

    /// Whether the entry can be given to another task.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Done && !self.has_handle && !self.is_linked
    }

    /// What the report says about the task; `None` for a vacant entry.
    pub(super) fn info(&self, number: u32) -> Option<TaskInfo> {
        let state = match self.stage {
            Stage::Vacant => return None,
            Stage::Running => TaskState::Running,
            Stage::Done => TaskState::Finished,
            Stage::Idle | Stage::Main if self.shared().is_queued() => TaskState::Ready,
            Stage::Idle | Stage::Main => {
                TaskState::Waiting(self.awaiting.unwrap_or(Awaiting::NOTHING_KNOWN))
            }
        };
        Some(TaskInfo { number, name: self.name, state, polls: self.polls })
    }
}

/// Puts a value where there is none. Spares the check for an old value to drop.
#[inline]
fn fill<T>(place: &mut Option<T>, value: Option<T>) {
    let old = mem::replace(place, value);
    debug_assert!(old.is_none());
    mem::forget(old);
}
