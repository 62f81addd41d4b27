//! A guest that is suspended, and resumed in another domain: `xl save` and `xl restore`, or a
//! migration (xen/include/public/sched.h, `SHUTDOWN_suspend`).
//!
//! What the guest finds in the new domain is its memory, its processor's state, and empty rings of
//! console and XenStore, at the frames where they were before. The rest is as at a start, and is made
//! as at a start; but page tables are sealed, so Xen puts its pages where they were.

use crate::{
    StartError, XenError, console, hypercalls,
    incarnation::Incarnation,
    platform::{FoundRing, places, sharing},
    store::Store,
    timer,
};

/// How a suspension ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspended {
    /// It did not come to be, or a copy was taken: all is as it was.
    Cancelled,
    /// The guest is in another domain, for which [`resume`] has to run before anything else.
    Moved,
}

/// Has Xen suspend the guest, until it goes on. To be called with interrupts off.
///
/// # Errors
/// If Xen refuses.
pub fn suspend() -> Result<Suspended, XenError> {
    Ok(if hypercalls::suspend()? { Suspended::Cancelled } else { Suspended::Moved })
}

/// Begins anew in another domain. To be called with interrupts off, after [`suspend`] and before
/// anything else.
///
/// # Errors
/// [`StartError`]: without events, nothing works.
pub fn resume(store: &Store) -> Result<(), StartError> {
    let (Some(places), Some(sharing)) = (places(), sharing()) else { return Ok(()) };
    Incarnation::begin();
    hypercalls::replace_shared_info(places.shared_info).map_err(StartError::SharedInfo)?;
    sharing.events.resume();
    places.callback.map_or(Ok(()), hypercalls::set_callback).map_err(StartError::Callback)?;
    timer::start(sharing.events);
    sharing.grants.resume();
    sharing.foreign.resume();
    if let Some(ring) = found_again(FoundRing::console(), places.console, "the console") {
        console::resume(ring.port, sharing.events);
    }
    if let Some(ring) = found_again(FoundRing::store(), places.store, "XenStore") {
        store.resume(ring.port, sharing.events);
    }
    Incarnation::announce();
    Ok(())
}

/// A ring that is where it was.
fn found_again(ring: Option<FoundRing>, before: Option<u64>, name: &str) -> Option<FoundRing> {
    let ring = ring.filter(|ring| Some(ring.frame) == before);
    if ring.is_none() && before.is_some() {
        log::error!("the tools have not put {name} where it was, so it is lost");
    }
    ring
}
