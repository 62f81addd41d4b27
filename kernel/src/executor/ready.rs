//! The queue of tasks that were woken, which interrupt handlers may push to.
//!
//! A pushed task is linked by its number, so pushing allocates nothing and takes no lock: the
//! queue is a stack of numbers that the executor takes as a whole and reverses.

use alloc::{sync::Arc, task::Wake};
use core::{
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::slab::NONE;
use crate::memory::{OutOfMemory, try_box};

/// Tasks that were woken and not looked at since, newest first.
pub(super) struct ReadyQueue {
    newest: AtomicU32,
    #[cfg(not(target_os = "none"))]
    host: host::Sleeper,
}

impl ReadyQueue {
    /// Whether no task was woken since the last `take`.
    pub(super) fn is_empty(&self) -> bool {
        self.newest.load(Ordering::SeqCst) == NONE
    }

    /// Takes all woken tasks: the number of the newest, which links to the one before it.
    pub(super) fn take(&self) -> u32 {
        self.newest.swap(NONE, Ordering::Acquire)
    }

    fn push(&self, task: &TaskWaker) {
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            task.next.store(newest, Ordering::Relaxed);
            match self.newest.compare_exchange_weak(
                newest,
                task.index,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(other) => newest = other,
            }
        }
        #[cfg(not(target_os = "none"))]
        self.host.interrupt();
    }
}

/// Words in an `Arc<TaskWaker>`: two counts and the value.
const ARC_WORDS: usize = 2 + size_of::<TaskWaker>().div_ceil(size_of::<usize>());

/// What all wakers of one task share. Holds a number only, so it may outlive the task.
pub(super) struct TaskWaker {
    index: u32,
    /// Link in the ready queue, towards the task that was woken before this one.
    next: AtomicU32,
    /// Whether the task is in the queue already, or has ended: waking it then does nothing.
    queued: AtomicBool,
    queue: QueueRef,
}

impl TaskWaker {
    /// The waker of task `index`, which cannot be woken before `start`.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn new(index: u32, queue: &QueueRef) -> Result<Arc<Self>, OutOfMemory> {
        // An `Arc` cannot report that it got no memory. On the one vCPU nobody comes between this
        // block of the same size, which can, and the `Arc` that takes its place.
        drop(try_box([const { MaybeUninit::<usize>::uninit() }; ARC_WORDS], "a task's waker")?);
        Ok(Arc::new(Self {
            index,
            next: AtomicU32::new(NONE),
            queued: AtomicBool::new(true),
            queue: queue.clone(),
        }))
    }

    /// Puts a new task into the queue for the first time.
    pub(super) fn start(&self) {
        self.queued.store(true, Ordering::Relaxed);
        self.queue.push(self);
    }

    /// Lets the task be woken again, before it is polled.
    pub(super) fn reset(&self) {
        // Acquire: all that happened before the wake-ups which found the task queued already.
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// Ends all wake-ups. Returns whether the task is still linked in the queue, in which case
    /// its number must not be used again before it came out.
    pub(super) fn retire(&self) -> bool {
        self.queued.swap(true, Ordering::AcqRel)
    }

    /// Whether the task was woken and not polled since.
    pub(super) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    /// The task that was woken before this one.
    pub(super) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Links to another task; only while this one is queued.
    pub(super) fn set_next(&self, next: u32) {
        self.next.store(next, Ordering::Relaxed);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.push(self);
        }
    }
}

#[cfg(target_os = "none")]
mod bare {
    use super::{AtomicU32, NONE, ReadyQueue};

    static QUEUE: ReadyQueue = ReadyQueue { newest: AtomicU32::new(NONE) };

    /// The queue of the one vCPU.
    #[derive(Clone)]
    pub(in super::super) struct QueueRef;

    impl QueueRef {
        pub(in super::super) fn new() -> Self {
            Self
        }
    }

    impl core::ops::Deref for QueueRef {
        type Target = ReadyQueue;
        fn deref(&self) -> &ReadyQueue {
            &QUEUE
        }
    }
}

#[cfg(target_os = "none")]
pub(super) use bare::QueueRef;

#[cfg(not(target_os = "none"))]
mod host {
    use super::{Arc, AtomicBool, AtomicU32, NONE, Ordering, ReadyQueue};
    use mayfly_arch::cpu::Interrupter;

    /// The queue of one thread, which other threads may push to.
    #[derive(Clone)]
    pub(in super::super) struct QueueRef(Arc<ReadyQueue>);

    impl QueueRef {
        pub(in super::super) fn new() -> Self {
            let host =
                Sleeper { sleeps: AtomicBool::new(false), interrupter: Interrupter::current() };
            Self(Arc::new(ReadyQueue { newest: AtomicU32::new(NONE), host }))
        }
    }

    impl core::ops::Deref for QueueRef {
        type Target = ReadyQueue;
        fn deref(&self) -> &ReadyQueue {
            &self.0
        }
    }

    /// The thread that runs the executor, where no interrupt ends its wait by itself.
    pub(super) struct Sleeper {
        sleeps: AtomicBool,
        interrupter: Interrupter,
    }

    impl Sleeper {
        pub(super) fn interrupt(&self) {
            if self.sleeps.load(Ordering::SeqCst) {
                self.interrupter.interrupt();
            }
        }
    }

    impl ReadyQueue {
        /// Announces that the thread looks at the queue a last time and then waits, or that it
        /// waits no more.
        pub(in super::super) fn set_sleeping(&self, sleeps: bool) {
            self.host.sleeps.store(sleeps, Ordering::SeqCst);
        }
    }
}

#[cfg(not(target_os = "none"))]
pub(super) use host::QueueRef;
