//! One task as the executor keeps it.

use alloc::{boxed::Box, sync::Arc};
use core::{
    any::Any,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::memory::OutOfMemory;

use super::{
    Awaiting, JoinError, TaskInfo, TaskName, TaskState,
    ready::{QueueRef, TaskWaker},
};

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
pub(super) enum Stage {
    /// The entry belongs to no task.
    Vacant,
    /// Between polls.
    Idle(BoxedFuture),
    /// Polled at this moment; the future is on the executor's stack.
    Running,
    /// The future that `run` was called with, between polls. It lives on the stack of `run`.
    Main,
    /// Ended. The entry stays until the handle is gone and the number out of the ready queue.
    Done(Outcome),
}

/// What is to be polled.
pub(super) enum What {
    /// A task, and whether somebody wants its result.
    Task { future: BoxedFuture, wanted: bool },
    /// The future that `run` was called with.
    Main,
}

/// An entry of the executor's slab.
pub(super) struct Task {
    pub(super) stage: Stage,
    /// What the wakers of this task share; kept for the next task of this entry.
    shared: Option<Arc<TaskWaker>>,
    /// A waker, taken out for the time of each poll.
    pub(super) waker: Option<Waker>,
    /// Who waits for the result.
    pub(super) joiner: Option<Waker>,
    name: TaskName,
    pub(super) awaiting: Awaiting,
    polls: u32,
    /// Whether a `JoinHandle` exists.
    pub(super) has_handle: bool,
    /// Whether the task is to be cancelled when its poll returns.
    pub(super) is_aborted: bool,
    /// Whether a task that has ended is still linked in the ready queue.
    is_linked: bool,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            stage: Stage::Vacant,
            shared: None,
            waker: None,
            joiner: None,
            name: TaskName::Named(""),
            awaiting: Awaiting::NOTHING_KNOWN,
            polls: 0,
            has_handle: false,
            is_aborted: false,
            is_linked: false,
        }
    }
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

    /// Makes a vacant entry a task and puts it into the ready queue.
    pub(super) fn start(&mut self, stage: Stage, name: TaskName, has_handle: bool) {
        self.stage = stage;
        self.name = name;
        self.has_handle = has_handle;
        (self.polls, self.is_aborted, self.is_linked) = (0, false, false);
        self.awaiting = Awaiting::NOTHING_KNOWN;
        self.shared().start();
    }

    /// The part of the task that its wakers share.
    pub(super) fn shared(&self) -> &TaskWaker {
        self.shared.as_ref().expect("a task in use has a waker")
    }

    /// Takes the task out for a poll, after its number came out of the ready queue. `None` if it
    /// has ended meanwhile.
    pub(super) fn take_for_poll(&mut self) -> Option<(What, Waker)> {
        let what = match mem::replace(&mut self.stage, Stage::Running) {
            Stage::Idle(future) => What::Task { future, wanted: self.has_handle },
            Stage::Main => What::Main,
            other => {
                self.stage = other;
                self.is_linked = false;
                return None;
            }
        };
        self.shared().reset();
        self.polls = self.polls.wrapping_add(1);
        self.waker.take().map(|waker| (what, waker))
    }

    /// Ends the task: no wake-up reaches it any more. Returns what it was.
    pub(super) fn end(&mut self, outcome: Outcome) -> Stage {
        self.is_linked = self.shared().retire();
        mem::replace(&mut self.stage, Stage::Done(outcome))
    }

    /// Whether the entry can be given to another task.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done(_)) && !self.has_handle && !self.is_linked
    }

    /// What the report says about the task; `None` for a vacant entry.
    pub(super) fn info(&self, number: u32) -> Option<TaskInfo> {
        let state = match self.stage {
            Stage::Vacant => return None,
            Stage::Running => TaskState::Running,
            Stage::Done(_) => TaskState::Finished,
            Stage::Idle(_) | Stage::Main if self.shared().is_queued() => TaskState::Ready,
            Stage::Idle(_) | Stage::Main => TaskState::Waiting(self.awaiting),
        };
        Some(TaskInfo { number, name: self.name, state, polls: self.polls })
    }
}
