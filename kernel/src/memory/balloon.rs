//! Memory that the guest gives back to Xen for a time: the kernel's side of ballooning.

use mayfly_xen::balloon::{Frames, Memory};

/// Free frames that stay: 2 MiB, with which a web server still takes some dozens of connections.
#[cfg(target_os = "none")]
const RESERVE: usize = 512;

/// The guest's memory, as the driver of Xen sees it. On the host, whose memory is not Mayfly's, there
/// is none to give.
#[derive(Debug)]
pub(crate) struct Spare;

#[cfg(not(target_os = "none"))]
// SAFETY: there is none.
unsafe impl Memory for Spare {
    fn withdraw(&self, _: usize) -> Option<Frames> {
        None
    }

    unsafe fn restore(&self, _: Frames) {}
}

#[cfg(target_os = "none")]
// SAFETY: the frame allocator gives those that are withdrawn to nobody until they are restored.
unsafe impl Memory for Spare {
    fn withdraw(&self, most: usize) -> Option<Frames> {
        super::global::withdraw(most, RESERVE)
    }

    unsafe fn restore(&self, frames: Frames) {
        // SAFETY: the same conditions.
        unsafe { super::global::restore(frames) }
    }
}
