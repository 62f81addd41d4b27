//! The executor itself: who runs next, and what happens when a task ends.

use alloc::boxed::Box;
use core::{
    any::Any,
    cell::{Cell, OnceCell, RefCell},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use mayfly_arch::{clock, cpu};

use super::{
    Awaiting, JoinError, TaskInfo, TaskName,
    ready::QueueRef,
    slab::{NONE, Slab},
    survival::Survival,
    task::{BoxedFuture, Outcome, Stage, Task, Terms, Turn},
};
use crate::{memory::OutOfMemory, time};

/// Timers are looked at after a wait, and after this many polls at the latest, however many tasks
/// are ready. One whose time comes in between ends the next wait as it begins.
const POLLS_BETWEEN_TIMERS: u32 = 16;

pub(super) struct Executor {
    tasks: RefCell<Slab<Task>>,
    queue: OnceCell<QueueRef>,
    /// The oldest task taken from the ready queue and not polled yet; it links to the next.
    batch: Cell<u32>,
    /// What the task that runs now said it waits for.
    awaiting: Cell<Option<Awaiting>>,
    is_running: Cell<bool>,
    /// The task that was polled last.
    #[cfg(target_os = "none")]
    running: Cell<u32>,
    /// The app's main task.
    #[cfg(target_os = "none")]
    pub(super) app: Cell<u32>,
    /// What becomes of a task that panics.
    pub(super) survival: Survival,
}

impl Executor {
    pub(super) const fn new() -> Self {
        Self {
            tasks: RefCell::new(Slab::new()),
            queue: OnceCell::new(),
            batch: Cell::new(NONE),
            awaiting: Cell::new(None),
            is_running: Cell::new(false),
            #[cfg(target_os = "none")]
            running: Cell::new(NONE),
            #[cfg(target_os = "none")]
            app: Cell::new(NONE),
            survival: Survival::new(),
        }
    }

    /// Takes in a new task, which runs for the first time after those that are ready now.
    ///
    /// # Errors
    /// When there is no memory; the future is dropped then.
    pub(super) fn admit(
        &self,
        future: BoxedFuture,
        name: TaskName,
        is_essential: bool,
    ) -> Result<u32, OutOfMemory> {
        self.start(Some(future), Terms { name, has_handle: true, is_essential })
    }

    fn start(&self, future: Option<BoxedFuture>, terms: Terms) -> Result<u32, OutOfMemory> {
        let queue = self.queue.get_or_init(QueueRef::new);
        let mut tasks = self.tasks.borrow_mut();
        let index = tasks.insert("a task")?;
        let task = tasks.get_mut(index);
        if let Err(error) = task.prepare(index, queue) {
            tasks.remove(index);
            return Err(error);
        }
        task.start(future, terms);
        Ok(index)
    }

    /// Polls ready tasks, and waits for interrupts when there are none, until `main` is done.
    pub(super) fn run<F: Future>(&self, main: F, name: TaskName) -> F::Output {
        assert!(!self.is_running.replace(true), "executor::run called by a task; await instead");
        let _end = EndOfRun(self);
        let main = pin!(main);
        let terms = Terms { name, has_handle: false, is_essential: true };
        if let Err(error) = self.start(None, terms) {
            panic!("{error}");
        }
        self.take_turns_until(main)
    }

    /// Does what `run` did before a panic, whose frames lie between the two on the stack for good.
    #[cfg(target_os = "none")]
    pub(super) fn go_on<F: Future>(&self, main: F) -> F::Output {
        self.take_turns_until(pin!(main))
    }

    fn take_turns_until<F: Future>(&self, mut main: Pin<&mut F>) -> F::Output {
        let mut result = None;
        self.take_turns(&mut |cx| match main.as_mut().poll(cx) {
            Poll::Ready(value) => {
                result = Some(value);
                Poll::Ready(Box::new(()) as _)
            }
            Poll::Pending => Poll::Pending,
        });
        result.expect("the executor stops when main is done")
    }

    /// Polls ready tasks until the one whose future is `main` is done.
    fn take_turns(&self, main: &mut MainPoll<'_>) {
        let mut polls = POLLS_BETWEEN_TIMERS;
        loop {
            if polls == POLLS_BETWEEN_TIMERS {
                polls = 0;
                time::fire_due();
                #[cfg(not(target_os = "none"))]
                cpu::look_for_interrupts();
            }
            polls += 1;
            let Some(turn) = self.next_turn() else {
                self.idle();
                polls = POLLS_BETWEEN_TIMERS;
                continue;
            };
            let Turn { index, mut future, waker, is_wanted } = turn;
            #[cfg(target_os = "none")]
            self.running.set(index);
            self.awaiting.set(None);
            let cx = &mut Context::from_waker(&waker);
            let poll = match &mut future {
                Some(future) => self.poll(index, future, cx, is_wanted),
                None => main(cx).map(Ok),
            };
            let Poll::Ready(outcome) = poll else {
                self.suspend(index, future, waker);
                continue;
            };
            let is_main = future.is_none();
            drop(future);
            self.finish(index, waker, outcome);
            if is_main {
                return;
            }
        }
    }

    #[cfg(target_os = "none")]
    #[inline]
    fn poll(
        &self,
        _index: u32,
        future: &mut BoxedFuture,
        cx: &mut Context<'_>,
        is_wanted: bool,
    ) -> Poll<Outcome> {
        future.as_mut().poll_erased(cx, is_wanted).map(Ok)
    }

    /// Polls a task, and ends it if it panics and the app chose that.
    #[cfg(not(target_os = "none"))]
    fn poll(
        &self,
        index: u32,
        future: &mut BoxedFuture,
        cx: &mut Context<'_>,
        is_wanted: bool,
    ) -> Poll<Outcome> {
        use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
        if !self.survival.is_chosen() {
            return future.as_mut().poll_erased(cx, is_wanted).map(Ok);
        }
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll_erased(cx, is_wanted))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) if self.tasks.borrow().get(index).is_essential => resume_unwind(panic),
            Err(_) => Poll::Ready(Err(JoinError::Panicked)),
        }
    }

    /// Takes the task that was woken first, to be polled.
    #[inline(always)]
    fn next_turn(&self) -> Option<Turn> {
        let mut tasks = self.tasks.borrow_mut();
        loop {
            let mut index = self.batch.get();
            let is_new = index == NONE;
            if is_new {
                index = self.queue.get()?.take();
                if index == NONE {
                    return None;
                }
            }
            let mut task = tasks.get_mut(index);
            if is_new && task.shared().next() != NONE {
                index = reverse(&tasks, index);
                task = tasks.get_mut(index);
            }
            let (turn, next) = task.take_turn(index);
            self.batch.set(next);
            if turn.is_some() {
                return turn;
            }
            vacate_if_over(&mut tasks, index);
        }
    }

    /// Ends the task that runs at this moment and leaves its future where it is, for a panic that
    /// does not return. Returns false if the guest cannot live on: that is not what the app chose,
    /// or the panic is not in a task, or in one that the guest cannot do without.
    #[cfg(target_os = "none")]
    pub(super) fn abandon(&self) -> bool {
        let index = self.running.replace(NONE);
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

    /// Puts a task back after a poll.
    #[inline]
    fn suspend(&self, index: u32, future: Option<BoxedFuture>, waker: Waker) {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(index);
        task.suspend(future, waker, self.awaiting.get());
        if task.is_aborted {
            drop(tasks);
            self.cancel(index);
        }
    }

    fn finish(&self, index: u32, waker: Waker, outcome: Outcome) {
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
        // An interrupt from now on stays pending, and so ends the wait: one that wakes a task after
        // the last look at the queue, or the clock's if the deadline is reached before the wait.
        cpu::interrupts_disable();
        clock::set_deadline(time::next_deadline());
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

/// Polls the future of the main task.
type MainPoll<'a> = dyn FnMut(&mut Context<'_>) -> Poll<Box<dyn Any>> + 'a;

/// Turns a list of tasks round, which the ready queue gives newest first, and returns the oldest.
#[cold]
fn reverse(tasks: &Slab<Task>, newest: u32) -> u32 {
    let (mut task, mut newer) = (newest, NONE);
    while task != NONE {
        let shared = tasks.get(task).shared();
        let older = shared.next();
        shared.set_next(newer);
        (task, newer) = (older, task);
    }
    newer
}

/// Gives an entry back if neither its handle nor the ready queue refers to it any more.
fn vacate_if_over(tasks: &mut Slab<Task>, index: u32) {
    let task = tasks.get_mut(index);
    if task.is_over() {
        task.stage = Stage::Vacant;
        tasks.remove(index);
    }
}

/// Cleans up when `run` returns or unwinds.
struct EndOfRun<'a>(&'a Executor);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.cancel_all();
        self.0.is_running.set(false);
    }
}
