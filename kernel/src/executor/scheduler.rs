//! The executor itself: who runs next.

use alloc::boxed::Box;
use core::{
    any::Any,
    cell::{Cell, OnceCell, RefCell},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use mayfly_arch::{clock, cpu};

use super::{
    Awaiting, TaskInfo, TaskName,
    ending::{EndOfRun, vacate_if_over},
    ready::QueueRef,
    slab::{NONE, Slab},
    survival::Survival,
    task::{BoxedFuture, Outcome, Task, Terms, Turn},
};
use crate::{memory::OutOfMemory, time};

/// Timers are looked at after a wait, and after this many polls at the latest, however many tasks
/// are ready. One whose time comes in between ends the next wait as it begins.
const POLLS_BETWEEN_TIMERS: u32 = 16;

pub(super) struct Executor {
    pub(super) tasks: RefCell<Slab<Task>>,
    queue: OnceCell<QueueRef>,
    /// The oldest task taken from the ready queue and not polled yet; it links to the next.
    batch: Cell<u32>,
    /// What the task that runs now said it waits for.
    awaiting: Cell<Option<Awaiting>>,
    pub(super) is_running: Cell<bool>,
    /// The task that was polled last.
    #[cfg(target_os = "none")]
    pub(super) running: Cell<u32>,
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
                #[cfg(target_os = "none")]
                crate::memory::free_late_blocks();
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
            Err(_) => Poll::Ready(Err(super::JoinError::Panicked)),
        }
    }

    /// Takes the task that was woken first, to be polled.
    #[inline(always)]
    pub(super) fn next_turn(&self) -> Option<Turn> {
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
