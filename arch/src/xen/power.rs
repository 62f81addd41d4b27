//! The end of a guest.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::hypercall;

/// Hypercall `sched_op` (xen/include/public/xen.h).
const SCHED_OP: usize = 29;
/// Its command `SCHEDOP_shutdown` (xen/include/public/sched.h).
const SHUTDOWN: usize = 2;

/// Why a guest ends (`SHUTDOWN_*` in xen/include/public/sched.h). What happens then is up to
/// `on_poweroff`, `on_reboot` and `on_crash` in the guest's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reason {
    /// It is done.
    PowerOff = 0,
    /// It wants to start anew.
    Reboot = 1,
    /// It cannot go on.
    Crash = 3,
}

static IS_PRESENT: AtomicBool = AtomicBool::new(false);

/// Discovery has found that the guest runs on Xen.
pub(crate) fn found() {
    IS_PRESENT.store(true, Ordering::Relaxed);
}

/// Ends the guest, if it runs on Xen.
pub(crate) fn shut_down(reason: Reason) {
    if IS_PRESENT.load(Ordering::Relaxed) {
        // `struct sched_shutdown`.
        let argument = reason as u32;
        let arguments = [SHUTDOWN, (&raw const argument).expose_provenance(), 0, 0, 0];
        // SAFETY: this is Xen, which reads the argument, four bytes, and stops the guest.
        unsafe { hypercall::call(SCHED_OP, arguments) };
    }
}
