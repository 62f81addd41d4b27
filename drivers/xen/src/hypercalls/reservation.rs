//! How much memory the guest has, and at which frames (xen/include/public/memory.h).

use super::{Hypercalls, MEMORY_OP, SELF, command};
use crate::balloon::Reservation;

/// Has Xen take away the memory at guest frames (`XENMEM_decrease_reservation`). Returns of how many,
/// from the first on.
///
/// # Safety
/// Nobody relies on what is in the frames, and nobody uses them as long as they have no memory.
pub(super) unsafe fn decrease_reservation(frames: &[u64]) -> usize {
    const DECREASE: usize = 1;
    // SAFETY: the same conditions.
    unsafe { change(DECREASE, frames) }
}

/// Has Xen put memory at guest frames (`XENMEM_populate_physmap`). Returns at how many, from the first
/// on.
///
/// # Safety
/// Nobody relies on what is in the frames.
pub(super) unsafe fn populate_physmap(frames: &[u64]) -> usize {
    const POPULATE: usize = 6;
    // SAFETY: the same conditions.
    unsafe { change(POPULATE, frames) }
}

/// # Safety
/// As of the operation.
unsafe fn change(operation: usize, frames: &[u64]) -> usize {
    /// `struct xen_memory_reservation`.
    #[repr(C)]
    struct Change {
        frames: u64,
        count: u64,
        order: u32,
        flags: u32,
        domain: u16,
    }
    let first = frames.as_ptr().expose_provenance() as u64;
    let count = frames.len() as u64;
    let mut argument = Change { frames: first, count, order: 0, flags: 0, domain: SELF };
    // SAFETY: reads the numbers of the frames, in as many bytes as on this architecture; for a guest
    // whose frames are where it says, it writes nothing there. The caller gives the frames.
    let done = unsafe { command(MEMORY_OP, operation, &mut argument) };
    // If it is an error, it was the first frame.
    done.unwrap_or(0).min(frames.len())
}

impl Reservation for Hypercalls {
    unsafe fn decrease(&self, frames: &[u64]) -> usize {
        // SAFETY: the same conditions.
        unsafe { decrease_reservation(frames) }
    }

    unsafe fn populate(&self, frames: &[u64]) -> usize {
        // SAFETY: the same conditions.
        unsafe { populate_physmap(frames) }
    }
}
