//! The host's monotonic clock, or the simulation's.

use std::{
    cell::Cell,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::simulation;

static START: OnceLock<Instant> = OnceLock::new();

thread_local! {
    static DEADLINE: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Nanoseconds since the first call; in a simulation, nanoseconds of virtual time.
pub fn now() -> u64 {
    simulation::now().unwrap_or_else(|| START.get_or_init(Instant::now).elapsed().as_nanos() as u64)
}

/// A process goes on by itself when it was suspended.
pub fn go_on_from(_time: u64) {}

/// Makes `cpu::wait_for_interrupt` return at `deadline`, in nanoseconds as `now` counts them, at
/// the latest; `None` removes the limit. Every thread has its own.
pub fn set_deadline(deadline: Option<u64>) {
    DEADLINE.set(deadline);
}

/// Nanoseconds since 1970-01-01 00:00 UTC, or `None` where no clock tells it.
pub fn wall_clock() -> Option<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_nanos() as u64)
}

/// The deadline that was set last.
pub(super) fn deadline() -> Option<u64> {
    DEADLINE.get()
}

/// How long it is until the deadline: zero when it has passed, `None` without a deadline.
pub(super) fn time_left() -> Option<Duration> {
    deadline().map(|deadline| Duration::from_nanos(deadline.saturating_sub(now())))
}

/// A process has its own timer.
pub(crate) const TIMER_VIRQ: Option<u32> = None;

/// Never: see [`TIMER_VIRQ`].
pub(crate) fn use_xen_timer() -> bool {
    false
}

/// There are no such events: see [`TIMER_VIRQ`].
pub(crate) fn on_xen_timer() {}
