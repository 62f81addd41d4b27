//! What Xen is asked for.
//!
//! Structures are those of xen/include/public, which are the same for all guests: numbers are
//! little-endian, and what is 64 bits wide is aligned to as much, also for 32-bit guests.

mod event_channels;
mod grant_copy;
mod grants;
mod reservation;

use mayfly_arch::hypercall;

use crate::{
    XenError,
    shared_page::{Place, SharedPage, TakenFrame},
};
pub(crate) use event_channels::{
    alloc_unbound, bind_interdomain, bind_virq, close, is_connected, own_domain,
};
pub(crate) use grant_copy::GrantCopy;

/// Xen, as the traits of what it does for a driver have it: tests have others.
pub(crate) struct Hypercalls;

// Hypercalls (xen/include/public/xen.h).
const MEMORY_OP: usize = 12;
const GRANT_TABLE_OP: usize = 20;
const SCHED_OP: usize = 29;
const EVENT_CHANNEL_OP: usize = 32;
const HVM_OP: usize = 34;

/// `DOMID_SELF`.
const SELF: u16 = 0x7ff0;

/// A parameter of a domain (xen/include/public/hvm/params.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Parameter {
    /// How Xen announces events.
    CallbackIrq = 0,
    /// The frame of the page of XenStore.
    StoreFrame = 1,
    /// The event channel of XenStore.
    StorePort = 2,
    /// The frame of the console's page.
    ConsoleFrame = 17,
    /// The event channel of the console.
    ConsolePort = 18,
}

/// `struct xen_hvm_param`.
#[repr(C)]
struct HvmParam {
    domain: u16,
    index: u32,
    value: u64,
}

/// Has Xen run a command of a hypercall that takes a pointer to its argument.
///
/// # Safety
/// `T` is the structure of this command, and what the command does to the guest's memory, other than
/// to write to `argument`, is sound.
unsafe fn command<T>(call: usize, command: usize, argument: &mut T) -> Result<usize, XenError> {
    let argument = (&raw mut *argument).expose_provenance();
    // SAFETY: whoever has this crate's `Xen` runs on Xen; the rest is the caller's promise.
    XenError::check(unsafe { hypercall::call(call, [command, argument, 0, 0, 0]) })
}

/// A parameter of this guest.
pub(crate) fn parameter(index: Parameter) -> Result<u64, XenError> {
    const GET_PARAM: usize = 1;
    let mut param = HvmParam { domain: SELF, index: index as u32, value: 0 };
    // SAFETY: HVMOP_get_param (xen/include/public/hvm/hvm_op.h) writes the value.
    unsafe { command(HVM_OP, GET_PARAM, &mut param) }?;
    Ok(param.value)
}

/// Sets how Xen announces events. Not on ARM, where the device tree says it.
pub(crate) fn set_callback(value: u64) -> Result<(), XenError> {
    const SET_PARAM: usize = 0;
    let mut param = HvmParam { domain: SELF, index: Parameter::CallbackIrq as u32, value };
    // SAFETY: HVMOP_set_param changes no memory; interrupts arrive where they are handled.
    unsafe { command(HVM_OP, SET_PARAM, &mut param) }?;
    Ok(())
}

/// Has Xen put a page of its own, which `space` and `index` name, at a guest frame
/// (`XENMEM_add_to_physmap`).
///
/// # Safety
/// The frame is not in use: what was there is gone.
unsafe fn add_to_physmap(space: u32, index: u64, frame: u64) -> Result<(), XenError> {
    const ADD_TO_PHYSMAP: usize = 7;
    /// `struct xen_add_to_physmap` (xen/include/public/memory.h).
    #[repr(C)]
    struct AddToPhysmap {
        domain: u16,
        size: u16,
        space: u32,
        index: u64,
        frame: u64,
    }
    let mut argument = AddToPhysmap { domain: SELF, size: 0, space, index, frame };
    // SAFETY: XENMEM_add_to_physmap; the caller gives the frame.
    unsafe { command(MEMORY_OP, ADD_TO_PHYSMAP, &mut argument) }?;
    Ok(())
}

/// `XENMAPSPACE_shared_info`.
const SHARED_INFO: u32 = 0;

/// Has Xen put the page of `struct shared_info` at `place`, for good.
pub(crate) fn place_shared_info(place: Place) -> Result<(SharedPage, TakenFrame), XenError> {
    // SAFETY: a place is for one user, and has no memory.
    unsafe { add_to_physmap(SHARED_INFO, 0, place.frame()) }?;
    // SAFETY: there is now, for good.
    let filled = unsafe { place.fill() };
    let frame = filled.taken();
    Ok((filled.leak(), frame))
}

/// Has Xen put the page of `struct shared_info` of the domain that the guest is in now where the last
/// one was.
pub(crate) fn replace_shared_info(frame: TakenFrame) -> Result<(), XenError> {
    // SAFETY: what is there is written by others at any time, so it may be another page as well.
    unsafe { add_to_physmap(SHARED_INFO, 0, frame.number()) }
}

/// Has Xen suspend this domain (`SCHEDOP_shutdown` with `SHUTDOWN_suspend`). Returns when it goes on:
/// whether that is because it was cancelled, or else in another domain.
///
/// # Errors
/// If Xen refuses.
pub(crate) fn suspend() -> Result<bool, XenError> {
    const SHUTDOWN: usize = 2;
    const SUSPEND: u32 = 2;
    let mut reason = SUSPEND;
    // SAFETY: `struct sched_shutdown` (xen/include/public/sched.h). What is mapped changes only
    // where others write at any time.
    Ok(unsafe { command(SCHED_OP, SHUTDOWN, &mut reason) }? != 0)
}

/// Sends an event to the other end of a channel (`EVTCHNOP_send`).
pub(crate) fn send(port: u32) -> Result<(), XenError> {
    const SEND: usize = 4;
    let mut argument = port;
    // SAFETY: `struct evtchn_send` (xen/include/public/event_channel.h); changes no memory.
    unsafe { command(EVENT_CHANNEL_OP, SEND, &mut argument) }?;
    Ok(())
}

/// Lets others have the processor (`SCHEDOP_yield`).
pub(crate) fn yield_now() {
    const YIELD: usize = 0;
    // SAFETY: changes no memory (xen/include/public/sched.h).
    let _ = unsafe { hypercall::call(SCHED_OP, [YIELD, 0, 0, 0, 0]) };
}

/// Starts a watchdog (`id` 0), puts it off, or ends it (0 seconds): `SCHEDOP_watchdog`. Returns the
/// number of one that was started.
pub(crate) fn watchdog(id: u32, seconds: u32) -> Result<u32, XenError> {
    const WATCHDOG: usize = 6;
    /// `struct sched_watchdog` (xen/include/public/sched.h).
    #[repr(C)]
    struct Argument {
        id: u32,
        seconds: u32,
    }
    let mut argument = Argument { id, seconds };
    // SAFETY: changes no memory. That it may end the guest is what it is for.
    let result = unsafe { command(SCHED_OP, WATCHDOG, &mut argument) }?;
    // Xen 4.17 makes the error that there are too many a number of 32 bits without a sign.
    let number = XenError::check(result as i32 as isize)?;
    Ok(number as u32)
}
