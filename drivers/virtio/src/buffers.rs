//! Frame buffers as the queues see them.

use mayfly_device::FrameBuf;

use crate::queue::{Parts, Transfer};

/// An empty buffer for the device to fill.
pub(crate) struct Incoming(pub(super) FrameBuf);

// SAFETY: the storage of a frame buffer is not empty, has a fixed place and belongs to it alone;
// the queue does not touch the value while the device has it.
unsafe impl Transfer for Incoming {
    const PARTS: usize = 1;

    #[inline]
    fn with_parts<R>(&mut self, f: impl for<'a> FnOnce(Parts<'a>) -> R) -> R {
        f(Parts { read: &[], written: &mut [self.0.whole_mut()] })
    }
}

/// A header and a frame for the device to send.
pub(crate) struct Outgoing(pub(super) FrameBuf);

// SAFETY: as above; the header before the frame keeps the range from being empty.
unsafe impl Transfer for Outgoing {
    const PARTS: usize = 1;

    #[inline]
    fn with_parts<R>(&mut self, f: impl for<'a> FnOnce(Parts<'a>) -> R) -> R {
        f(Parts { read: &[self.0.bytes()], written: &mut [] })
    }
}
