//! How much memory the guest has, and at which frames (xen/include/public/memory.h).

use super::{Hypercalls, MEMORY_OP, SELF, command};
use crate::balloon::{Change, Reservation};

impl Reservation for Hypercalls {
    unsafe fn change(&self, change: Change, frames: &[u64]) -> usize {
        /// `struct xen_memory_reservation`.
        #[repr(C)]
        struct MemoryReservation {
            frames: u64,
            count: u64,
            order: u32,
            flags: u32,
            domain: u16,
        }
        let mut argument = MemoryReservation {
            frames: frames.as_ptr().expose_provenance() as u64,
            count: frames.len() as u64,
            order: 0,
            flags: 0,
            domain: SELF,
        };
        // SAFETY: reads the numbers of the frames, in as many bytes as on this architecture, and
        // writes none, as a guest does not know what memory it has. The caller gives the frames.
        let done = unsafe { command(MEMORY_OP, change as usize, &mut argument) };
        // It is an error if nothing was done.
        done.unwrap_or(0).min(frames.len())
    }
}
