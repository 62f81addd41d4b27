//! How tasks end, and who gets their results.

use core::task::{Poll, Waker};

use super::{
    JoinError,
    scheduler::Executor,
    slab::Slab,
    task::{Outcome, Stage, Task},
};

impl Executor {
    /// Ends a task whose future is done, or has panicked.
    pub(super) fn finish(&self, index: u32, waker: Waker, outcome: Outcome) {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        task.keep_waker(waker);
        task.end(outcome);
        let unwanted = if task.has_handle { None } else { Some(task.take_outcome()) };
        let joiner = task.joiner.take();
        vacate_if_over(&mut tasks, index);
        // Dropping a result or waking somebody may come back here.
        drop(tasks);
        drop(unwanted);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }

    /// Drops the future of a task that waits; one that runs is dropped when its poll returns.
    pub(super) fn cancel(&self, index: u32) {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        match task.stage {
            Stage::Idle => {}
            Stage::Running => return task.is_aborted = true,
            Stage::Vacant | Stage::Main | Stage::Done => return,
        }
        let future = task.end(Err(JoinError::Cancelled));
        let joiner = task.joiner.take();
        vacate_if_over(&mut tasks, index);
        // Dropping the future may come back here.
        drop(tasks);
        drop(future);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }

    /// Notes that nobody wants the result of the task.
    pub(super) fn release_handle(&self, index: u32) {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        task.has_handle = false;
        let unwanted = (task.joiner.take(), task.take_outcome());
        vacate_if_over(&mut tasks, index);
        drop(tasks);
        drop(unwanted);
    }

    /// Takes the result of the task; the handle is released then. Otherwise `waker` is woken at
    /// its end.
    pub(super) fn poll_result(&self, index: u32, waker: &Waker) -> Poll<Outcome> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        if task.stage == Stage::Done {
            let outcome = task.take_outcome();
            task.has_handle = false;
            vacate_if_over(&mut tasks, index);
            return Poll::Ready(outcome);
        }
        if !task.joiner.as_ref().is_some_and(|joiner| joiner.will_wake(waker)) {
            task.joiner = Some(waker.clone());
        }
        Poll::Pending
    }

    /// Whether the task has ended.
    pub(super) fn is_finished(&self, index: u32) -> bool {
        self.tasks.borrow().get(index).stage == Stage::Done
    }

    /// Ends the task that runs at this moment and leaves its future where it is, for a panic that
    /// does not return. Returns false if the guest cannot live on: that is not what the app chose,
    /// or the panic is not in a task, or in one that the guest cannot do without.
    #[cfg(target_os = "none")]
    pub(super) fn abandon(&self) -> bool {
        let index = self.running.replace(super::slab::NONE);
        let Ok(mut tasks) = self.tasks.try_borrow_mut() else { return false };
        let Some(task) = tasks.try_get_mut(index) else { return false };
        if task.stage != Stage::Running || task.is_essential || !self.survival.takes_one_more() {
            return false;
        }
        task.end(Err(JoinError::Panicked));
        let joiner = task.joiner.take();
        vacate_if_over(&mut tasks, index);
        drop(tasks);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
        true
    }

    /// Drops all tasks, and those that they spawn while they are dropped.
    fn cancel_all(&self) {
        let mut found = true;
        while found {
            found = false;
            let mut from = 0;
            while let Some(index) = self.next_used(from) {
                found |= self.cancel_now(index);
                from = index + 1;
            }
        }
        // What is left in the ready queue are the numbers of tasks that have ended.
        let left = self.next_turn();
        debug_assert!(left.is_none());
    }

    fn next_used(&self, from: u32) -> Option<u32> {
        self.tasks.borrow().next_used(from)
    }

    /// Cancels a task that runs no more. Returns whether there was something to cancel.
    fn cancel_now(&self, index: u32) -> bool {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        match task.stage {
            Stage::Vacant | Stage::Done => return false,
            Stage::Idle => {
                drop(tasks);
                self.cancel(index);
            }
            // A panic unwound through `run`: its future is gone already.
            Stage::Running | Stage::Main => {
                task.end(Err(JoinError::Cancelled));
                vacate_if_over(&mut tasks, index);
            }
        }
        true
    }
}

/// Gives an entry back if neither its handle nor the ready queue refers to it any more.
pub(super) fn vacate_if_over(tasks: &mut Slab<Task>, index: u32) {
    let task = tasks.get_mut(index);
    if task.is_over() {
        task.stage = Stage::Vacant;
        tasks.remove(index);
    }
}

/// Cleans up when `run` returns or unwinds.
pub(super) struct EndOfRun<'a>(pub(super) &'a Executor);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.cancel_all();
        self.0.is_running.set(false);
    }
}
