//! A thread in the place of a vCPU. It has no interrupts to switch off: what arrives from outside
//! arrives while it waits.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{clock, simulation};

/// Whether interrupts are delivered. Never: the process has none.
pub fn interrupts_enabled() -> bool {
    false
}

/// Does nothing.
pub fn interrupts_disable() {}

/// Does nothing.
pub fn interrupts_enable() {}

/// `None`: the process asks the kernel for entropy instead.
pub fn hardware_random() -> Option<u64> {
    None
}

/// `None`: how the memory of a process is protected is the kernel's affair.
pub fn missing_protection() -> Option<&'static str> {
    None
}

/// `target`, as nothing else is to be said of it.
pub fn code_address(target: usize) -> usize {
    target
}

/// A counter for measuring: nanoseconds, on the host.
pub fn cycles() -> u64 {
    clock::now()
}

/// Waits until the clock's deadline, until another thread calls [`Interrupter::interrupt`], or
/// until whatever [`wait_with`] added happens. May return early. In a simulation, jumps to the
/// deadline instead.
///
/// # Panics
/// In a simulation without a deadline.
pub fn wait_for_interrupt() {
    if simulation::wait() {
        return;
    }
    let timeout = clock::time_left();
    match (how_to_wait(), timeout) {
        (Some(wait), _) => {
            LAST_LOOK.set(clock::now());
            wait(timeout);
        }
        (None, Some(timeout)) => thread::park_timeout(timeout),
        (None, None) => thread::park(),
    }
}

/// Looks for whatever [`wait_with`] added, without waiting for it, unless the last look was less
/// than a millisecond ago. For a thread that is busy: on a real machine, interrupts arrive then,
/// too.
pub fn look_for_interrupts() {
    let Some(wait) = how_to_wait() else { return };
    let now = clock::now();
    if now.saturating_sub(LAST_LOOK.get()) >= LOOK_INTERVAL && !simulation::is_running() {
        LAST_LOOK.set(now);
        wait(Some(Duration::ZERO));
    }
}

fn how_to_wait() -> Option<fn(Option<Duration>)> {
    WAITING.with_borrow(|waiting| waiting.as_ref().map(|waiting| waiting.wait))
}

/// Nanoseconds between two looks of a busy thread.
const LOOK_INTERVAL: u64 = 1_000_000;

/// How a thread waits, in the place of parking it: for threads that also wait for file descriptors.
#[derive(Clone)]
pub struct Waiting {
    /// Waits for that long, or without a limit; may return early.
    pub wait: fn(Option<Duration>),
    /// Makes `wait` return, now or the next time it is called. Called from any thread.
    pub interrupt: Arc<dyn Fn() + Send + Sync>,
}

thread_local! {
    static LAST_LOOK: Cell<u64> = const { Cell::new(0) };
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Changes how this thread waits. Call it before the executor first runs on the thread.
pub fn wait_with(waiting: Waiting) {
    WAITING.set(Some(waiting));
}

/// Ends the wait of one thread from another, in the place of an inter-processor interrupt.
#[derive(Clone)]
pub struct Interrupter(Arc<dyn Fn() + Send + Sync>);

impl Interrupter {
    /// The interrupter of the calling thread.
    pub fn current() -> Self {
        if let Some(waiting) = WAITING.with_borrow(Clone::clone) {
            return Self(waiting.interrupt);
        }
        let thread = thread::current();
        Self(Arc::new(move || thread.unpark()))
    }

    /// Makes `wait_for_interrupt` of that thread return, now or the next time it is called.
    pub fn interrupt(&self) {
        (self.0)();
    }
}
