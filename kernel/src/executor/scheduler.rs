//! The executor itself: who runs next, and what happens when a task ends.

use alloc::boxed::Box;
use core::{
    cell::{Cell, OnceCell, RefCell},
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use mayfly_arch::{clock, cpu};

use super::{
    Awaiting, JoinError, TaskInfo, TaskName,
    ready::QueueRef,
    slab::{NONE, Slab},
    task::{BoxedFuture, Outcome, Stage, Task, What},
};
use crate::{memory::OutOfMemory, time};

/// Timers are looked at after this many polls at the latest, however many tasks are ready.
const POLLS_BETWEEN_TIMERS: u32 = 64;

pub(super) struct Executor {
    tasks: RefCell<Slab<Task>>,
    queue: OnceCell<QueueRef>,
    /// The oldest task taken from the ready queue and not polled yet; it links to the next.
    batch: Cell<u32>,
    /// What the task that runs now said it waits for.
    awaiting: Cell<Option<Awaiting>>,
    is_running: Cell<bool>,
}

impl Executor {
    pub(super) const fn new() -> Self {
        Self {
            tasks: RefCell::new(Slab::new()),
            queue: OnceCell::new(),
            batch: Cell::new(NONE),
            awaiting: Cell::new(None),
            is_running: Cell::new(false),
        }
    }

    /// Takes in a new task, which runs for the first time after those that are ready now.
    ///
    /// # Errors
    /// When there is no memory; the future is dropped then.
    pub(super) fn admit(&self, future: BoxedFuture, name: TaskName) -> Result<u32, OutOfMemory> {
        self.start(Stage::Idle(future), name, true)
    }

    fn start(&self, stage: Stage, name: TaskName, has_handle: bool) -> Result<u32, OutOfMemory> {
        let queue = self.queue.get_or_init(QueueRef::new);
        let mut tasks = self.tasks.borrow_mut();
        let index = tasks.insert("a task")?;
        let task = tasks.get_mut(index);
        if let Err(error) = task.prepare(index, queue) {
            tasks.remove(index);
            return Err(error);
        }
        task.start(stage, name, has_handle);
        Ok(index)
    }

    /// Polls ready tasks, and waits for interrupts when there are none, until `main` is done.
    pub(super) fn run<F: Future>(&self, main: F, name: TaskName) -> F::Output {
        assert!(!self.is_running.replace(true), "executor::run called by a task; await instead");
        let _end = EndOfRun(self);
        let mut main = pin!(main);
        if let Err(error) = self.start(Stage::Main, name, false) {
            panic!("{error}");
        }
        let mut polls = 0;
        loop {
            let Some(Turn { index, what, waker }) = self.next() else {
                self.idle();
                continue;
            };
            match what {
                What::Task { future, wanted } => self.poll(index, future, waker, wanted),
                What::Main => {
                    if let Poll::Ready(result) = self.poll_main(index, main.as_mut(), waker) {
                        return result;
                    }
                }
            }
            polls += 1;
            if polls == POLLS_BETWEEN_TIMERS {
                polls = 0;
                time::fire_due();
            }
        }
    }

    /// The next task in the order of wake-ups.
    fn next(&self) -> Option<Turn> {
        loop {
            if self.batch.get() == NONE && !self.take_batch() {
                return None;
            }
            let mut tasks = self.tasks.borrow_mut();
            let index = self.batch.get();
            let task = tasks.get_mut(index);
            self.batch.set(task.shared().next());
            if let Some((what, waker)) = task.take_for_poll() {
                return Some(Turn { index, what, waker });
            }
            vacate_if_over(&mut tasks, index);
        }
    }

    /// Takes all tasks that were woken, oldest first. Returns whether there is one.
    fn take_batch(&self) -> bool {
        time::fire_due();
        let Some(queue) = self.queue.get() else { return false };
        let mut newest = queue.take();
        let tasks = self.tasks.borrow();
        let mut batch = NONE;
        while newest != NONE {
            let shared = tasks.get(newest).shared();
            let older = shared.next();
            shared.set_next(batch);
            batch = newest;
            newest = older;
        }
        self.batch.set(batch);
        batch != NONE
    }

    fn poll(&self, index: u32, mut future: BoxedFuture, waker: Waker, wanted: bool) {
        self.awaiting.set(None);
        match future.as_mut().poll_erased(&mut Context::from_waker(&waker), wanted) {
            Poll::Pending => {
                if !self.suspend(index, Stage::Idle(future), waker) {
                    self.cancel(index);
                }
            }
            Poll::Ready(result) => {
                drop(future);
                self.finish(index, waker, Ok(result));
            }
        }
    }

    fn poll_main<F: Future>(&self, index: u32, main: Pin<&mut F>, waker: Waker) -> Poll<F::Output> {
        self.awaiting.set(None);
        let poll = main.poll(&mut Context::from_waker(&waker));
        if poll.is_pending() {
            self.suspend(index, Stage::Main, waker);
        } else {
            self.finish(index, waker, Ok(Box::new(())));
        }
        poll
    }

    /// Puts a task back after a poll. Returns false if it was aborted meanwhile.
    fn suspend(&self, index: u32, stage: Stage, waker: Waker) -> bool {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        task.stage = stage;
        task.waker = Some(waker);
        task.awaiting = self.awaiting.get().unwrap_or(Awaiting::NOTHING_KNOWN);
        !task.is_aborted
    }

    fn finish(&self, index: u32, waker: Waker, outcome: Outcome) {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        task.waker = Some(waker);
        let (outcome, unwanted) = if task.has_handle {
            (outcome, None)
        } else {
            (Err(JoinError::Cancelled), Some(outcome))
        };
        task.end(outcome);
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
            Stage::Idle(_) => {}
            Stage::Running => return task.is_aborted = true,
            Stage::Vacant | Stage::Main | Stage::Done(_) => return,
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
        let unwanted = match &mut task.stage {
            Stage::Done(outcome) => Some(mem::replace(outcome, Err(JoinError::Cancelled))),
            _ => None,
        };
        task.has_handle = false;
        let joiner = task.joiner.take();
        vacate_if_over(&mut tasks, index);
        drop(tasks);
        drop((joiner, unwanted));
    }

    /// Takes the result of the task; the handle is released then. Otherwise `waker` is woken at
    /// its end.
    pub(super) fn poll_result(&self, index: u32, waker: &Waker) -> Poll<Outcome> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        if let Stage::Done(outcome) = &mut task.stage {
            let outcome = mem::replace(outcome, Err(JoinError::Cancelled));
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
        matches!(self.tasks.borrow().get(index).stage, Stage::Done(_))
    }

    /// Notes what the running task waits for, unless it has said so in this poll already.
    pub(super) fn describe(&self, awaiting: Awaiting) {
        if self.awaiting.get().is_none() {
            self.awaiting.set(Some(awaiting));
        }
    }

    /// Shows every task to `see`. Returns false if the executor was interrupted while it changed
    /// its tables.
    pub(super) fn inspect(&self, mut see: impl FnMut(&TaskInfo)) -> bool {
        let Ok(tasks) = self.tasks.try_borrow() else { return false };
        let mut from = 0;
        while let Some(index) = tasks.next_used(from) {
            if let Some(info) = tasks.get(index).info(index) {
                see(&info);
            }
            from = index + 1;
        }
        true
    }

    /// Waits for an interrupt, unless one has woken a task already.
    fn idle(&self) {
        let Some(queue) = self.queue.get() else { return };
        clock::set_deadline(time::next_deadline());
        // An interrupt after the last look at the queue stays pending, and so ends the wait.
        cpu::interrupts_disable();
        #[cfg(not(target_os = "none"))]
        queue.set_sleeping(true);
        if queue.is_empty() {
            cpu::wait_for_interrupt();
        }
        #[cfg(not(target_os = "none"))]
        queue.set_sleeping(false);
        cpu::interrupts_enable();
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
        while self.next().is_some() {}
    }

    fn next_used(&self, from: u32) -> Option<u32> {
        self.tasks.borrow().next_used(from)
    }

    /// Cancels a task that runs no more. Returns whether there was something to cancel.
    fn cancel_now(&self, index: u32) -> bool {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        match task.stage {
            Stage::Vacant | Stage::Done(_) => return false,
            Stage::Idle(_) => {
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
fn vacate_if_over(tasks: &mut Slab<Task>, index: u32) {
    let task = tasks.get_mut(index);
    if task.is_over() {
        task.stage = Stage::Vacant;
        tasks.remove(index);
    }
}

/// A task that is to be polled now.
struct Turn {
    index: u32,
    what: What,
    waker: Waker,
}

/// Cleans up when `run` returns or unwinds.
struct EndOfRun<'a>(&'a Executor);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.cancel_all();
        self.0.is_running.set(false);
    }
}
