//! Event channels that are made and closed (xen/include/public/event_channel.h).

use super::{EVENT_CHANNEL_OP, SELF, command};
use crate::XenError;

/// Makes a channel that `remote` may connect to, and returns its number (`EVTCHNOP_alloc_unbound`).
pub(crate) fn alloc_unbound(remote: u16) -> Result<u32, XenError> {
    const ALLOC_UNBOUND: usize = 6;
    #[repr(C)]
    struct AllocUnbound {
        domain: u16,
        remote: u16,
        port: u32,
    }
    let mut argument = AllocUnbound { domain: SELF, remote, port: 0 };
    // SAFETY: `struct evtchn_alloc_unbound`; writes the port.
    unsafe { command(EVENT_CHANNEL_OP, ALLOC_UNBOUND, &mut argument) }?;
    Ok(argument.port)
}

/// Connects to a channel that `remote` has made for this guest, and returns the number of this end
/// (`EVTCHNOP_bind_interdomain`).
pub(crate) fn bind_interdomain(remote: u16, remote_port: u32) -> Result<u32, XenError> {
    const BIND_INTERDOMAIN: usize = 0;
    #[repr(C)]
    struct BindInterdomain {
        remote: u16,
        remote_port: u32,
        port: u32,
    }
    let mut argument = BindInterdomain { remote, remote_port, port: 0 };
    // SAFETY: `struct evtchn_bind_interdomain`; writes the port.
    unsafe { command(EVENT_CHANNEL_OP, BIND_INTERDOMAIN, &mut argument) }?;
    Ok(argument.port)
}

/// Makes a channel for a virtual interrupt of the first vCPU, and returns its number
/// (`EVTCHNOP_bind_virq`).
pub(crate) fn bind_virq(virq: u32) -> Result<u32, XenError> {
    const BIND_VIRQ: usize = 1;
    #[repr(C)]
    struct BindVirq {
        virq: u32,
        vcpu: u32,
        port: u32,
    }
    let mut argument = BindVirq { virq, vcpu: 0, port: 0 };
    // SAFETY: `struct evtchn_bind_virq`; writes the port.
    unsafe { command(EVENT_CHANNEL_OP, BIND_VIRQ, &mut argument) }?;
    Ok(argument.port)
}

/// Closes this end of a channel (`EVTCHNOP_close`).
pub(crate) fn close(port: u32) -> Result<(), XenError> {
    const CLOSE: usize = 3;
    let mut argument = port;
    // SAFETY: `struct evtchn_close`; changes no memory.
    unsafe { command(EVENT_CHANNEL_OP, CLOSE, &mut argument) }?;
    Ok(())
}

/// What a channel is (`struct evtchn_status`), whose last part depends on that.
#[repr(C)]
struct Status {
    domain: u16,
    port: u32,
    status: u32,
    vcpu: u32,
    remote: u16,
    remote_port: u32,
}

/// What a channel of this guest is (`EVTCHNOP_status`).
fn status(port: u32) -> Result<Status, XenError> {
    const STATUS: usize = 5;
    let mut argument = Status { domain: SELF, port, status: 0, vcpu: 0, remote: 0, remote_port: 0 };
    // SAFETY: writes the last four fields.
    unsafe { command(EVENT_CHANNEL_OP, STATUS, &mut argument) }?;
    Ok(argument)
}

/// Whether a channel leads to another domain: it does not, or no more, when the other end is closed.
pub(crate) fn is_connected(port: u32) -> Result<bool, XenError> {
    const INTERDOMAIN: u32 = 2;
    Ok(status(port)?.status == INTERDOMAIN)
}

/// The number of this guest's domain.
///
/// Xen tells it on no architecture but x86, except in passing: what a channel for oneself waits for
/// is a domain by its number.
pub(crate) fn own_domain() -> Result<u16, XenError> {
    let port = alloc_unbound(SELF)?;
    let status = status(port);
    close(port)?;
    Ok(status?.remote)
}
