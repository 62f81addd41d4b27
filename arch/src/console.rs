//! Polled output: what must be said before, or without, a driver.

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;

use crate::machine;

/// The writer that took the machine's place.
static WRITER: Once<fn(&[u8])> = Once::new();
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Writes all of `bytes` as they are, from the first instruction of Rust on. What nobody takes is
/// dropped.
pub fn write(bytes: &[u8]) {
    match WRITER.get() {
        Some(writer) if !HAS_FAILED.load(Ordering::Relaxed) => writer(bytes),
        _ => machine::console::write(bytes),
    }
}

/// Has `writer` do all polled output from now on, for a guest whose console is not a device of the
/// machine. It is called anywhere, also in a fault report with whatever it was doing interrupted,
/// and must not wait for ever. The first one stays.
pub fn use_writer(writer: fn(&[u8])) {
    WRITER.call_once(|| writer);
}

/// Goes back to the machine's own output, because a fault report did not come through.
#[cfg(target_os = "none")]
pub(crate) fn distrust_writer() {
    HAS_FAILED.store(true, Ordering::Relaxed);
}
