//! The order in which the guest is suspended, and goes on: `xl save`, `xl restore`, `xl migrate`.
//!
//! Nothing has to be prepared. What is under way with other domains when Xen stops the guest is under
//! way no more when it goes on in another domain: there, each part of the drivers begins anew by what
//! it knows ([`mayfly_xen::resume`]), and devices connect as at first. In between, no task runs.

use mayfly_arch::{clock, cpu};
use mayfly_xen::{Suspended, XenError, store::Store};

use crate::{random, time};

/// Has Xen suspend the guest. Returns when it goes on.
///
/// # Errors
/// If Xen refuses.
///
/// # Panics
/// If there is no way to go on, because Xen announces no events.
pub(super) fn suspend(store: &Store) -> Result<Suspended, XenError> {
    let was_on = cpu::interrupts_enabled();
    cpu::interrupts_disable();
    // The clock does not go on while the guest does not.
    let time = clock::now();
    let suspended = mayfly_xen::suspend();
    if suspended == Ok(Suspended::Moved) {
        clock::go_on_from(time);
        if let Err(error) = mayfly_xen::resume(store) {
            panic!("the guest cannot go on in another domain: {error}");
        }
    }
    if was_on {
        cpu::interrupts_enable();
    }
    if suspended == Ok(Suspended::Moved) {
        // Others may go on with the same memory.
        random::renew(time::wall_clock());
    }
    suspended
}
