//! The event channel of Xen's timer, for architectures whose clock uses it.
//!
//! A deadline is one hypercall, and its event comes by the interrupt that all events come by. The
//! timer of an emulated interrupt controller costs as much to set, and another exit to acknowledge.

use mayfly_arch::xen;
use mayfly_device::InterruptHandler;

use crate::{
    events::{EventChannels, Port},
    hypercalls,
};

struct Timer;

impl InterruptHandler for Timer {
    fn interrupt(&self) {
        xen::on_timer();
    }
}

/// Leaves deadlines to Xen, in the domain that the guest is in now. If Xen does not take them, the
/// machine's own timer goes on. To be called once events are announced.
pub(crate) fn start(events: &'static EventChannels) {
    let Some(virq) = xen::TIMER_VIRQ else { return };
    let number = hypercalls::bind_virq(virq).ok();
    let port = number.and_then(|number| Port::new(number.into()));
    // Without a handler the channel is held back, and does no harm.
    if !port.is_some_and(|port| events.listen(port, &Timer)) || !xen::use_timer() {
        log::warn!("Xen tells of no deadlines; the machine's own timer does");
    }
}
