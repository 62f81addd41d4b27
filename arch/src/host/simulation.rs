//! Virtual time for tests: it stands still while tasks run and jumps to the next deadline when
//! they all wait. A test of an hour takes milliseconds and does the same at every run.
//!
//! Each thread has its own simulation, so that tests run side by side.

use std::cell::Cell;

use super::clock;

thread_local! {
    static TIME: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Where virtual time starts: not at zero, so that "an hour ago" exists.
const START: u64 = 1_000_000_000_000;

/// Makes this thread live in virtual time from now on.
pub fn start() {
    TIME.set(Some(START));
}

/// Goes back to the host's clock.
pub fn stop() {
    TIME.set(None);
}

/// Whether this thread lives in virtual time.
pub fn is_running() -> bool {
    TIME.get().is_some()
}

/// Lets `nanoseconds` pass, as if the code had taken that long.
///
/// # Panics
/// When no simulation runs.
pub fn advance(nanoseconds: u64) {
    let now = TIME.get().expect("virtual time can only be advanced after simulation::start()");
    TIME.set(Some(now.saturating_add(nanoseconds)));
}

/// The virtual time, if a simulation runs.
pub(super) fn now() -> Option<u64> {
    TIME.get()
}

/// Jumps to the clock's deadline. Returns whether a simulation runs.
///
/// # Panics
/// When there is no deadline: nothing could ever happen again.
pub(super) fn wait() -> bool {
    let Some(now) = TIME.get() else { return false };
    let Some(deadline) = clock::deadline() else {
        panic!("deadlock in the simulation: every task waits and no timer is set");
    };
    TIME.set(Some(now.max(deadline)));
    true
}
