//! Deadlines that Xen minds, where its timer does more for a guest than the one that it emulates.

use crate::machine::clock;

/// The virtual interrupt by which Xen tells of a deadline (`VIRQ_*` in xen/include/public/xen.h).
/// `None` on architectures whose own timer is as good: that of ARM is the guest's, without any exit.
pub const TIMER_VIRQ: Option<u32> = clock::TIMER_VIRQ;

/// Leaves deadlines to Xen from now on: [`on_timer`] is to be called at the event [`TIMER_VIRQ`].
/// Returns false, and all stays as it is, if Xen does not do that.
pub fn use_timer() -> bool {
    clock::use_xen_timer()
}

/// Handles the event: a deadline may have passed. To be called with interrupts off.
pub fn on_timer() {
    clock::on_xen_timer();
}
