//! One virtqueue that owns its buffers while the device has them.

use core::{
    mem::ManuallyDrop,
    sync::atomic::{Ordering, fence},
};

use mayfly_device::DeviceError;
use virtio_drivers::{queue::VirtQueue, transport::Transport as Registers};

use crate::{
    StartError,
    dma::{DirectMap, is_reachable},
    negotiate::reset,
    transport::Transport,
};

/// What the device reads, and what it writes, in the order in which it is to see them.
pub(crate) struct Parts<'a> {
    pub(crate) read: &'a [&'a [u8]],
    pub(crate) written: &'a mut [&'a mut [u8]],
}

/// Memory that is handed to a device and comes back.
///
/// # Safety
/// `with_parts` passes the same slices every time, at least one and none of them empty; they stay
/// where they are when the value moves, and nothing else reads or writes them while the device has
/// them.
pub(crate) unsafe trait Transfer {
    /// How many slices there are: as many descriptors does it take.
    const PARTS: usize;

    /// Calls `f` with the slices.
    fn with_parts<R>(&mut self, f: impl for<'a> FnOnce(Parts<'a>) -> R) -> R;
}

/// A virtqueue of `SIZE` descriptors, and the buffers of type `B` that are in it.
///
/// Dropping it leaks the ring and the buffers, because the device may still use them; see
/// [`release`](Self::release).
pub(crate) struct Queue<B, const SIZE: usize> {
    ring: ManuallyDrop<VirtQueue<DirectMap, SIZE>>,
    /// The buffer whose first descriptor has this number, while the device has it.
    lent: ManuallyDrop<[Option<B>; SIZE]>,
    index: u16,
    /// Something was queued since the device was last told.
    untold: bool,
}

impl<B: Transfer, const SIZE: usize> Queue<B, SIZE> {
    /// Sets up queue number `index` of a device, with interrupts off.
    pub(crate) fn new(transport: &mut Transport, index: u16) -> Result<Self, StartError> {
        let mut ring = VirtQueue::new(transport, index, false, false)?;
        ring.set_dev_notify(false);
        if !transport.queue_works(index) {
            // Freed only after a reset, because the device knows the ring already.
            if reset(transport) {
                drop(ring);
            } else {
                core::mem::forget(ring);
            }
            return Err(StartError::Configuration);
        }
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            lent: ManuallyDrop::new([const { None }; SIZE]),
            index,
            untold: false,
        })
    }

    /// How many more buffers fit.
    pub(crate) fn room(&self) -> usize {
        self.ring.available_desc() / B::PARTS
    }

    /// Hands a buffer to the device, which may not look before [`tell`](Self::tell). Gives it back
    /// if there is no room, if a part of it is empty, or if the device cannot reach it.
    pub(crate) fn push(&mut self, mut buffer: B) -> Result<(), B> {
        let ring = &mut *self.ring;
        let added = buffer.with_parts(|Parts { read, written }| {
            let usable = |part: &[u8]| !part.is_empty() && is_reachable(part);
            let all_usable =
                read.iter().all(|part| usable(part)) && written.iter().all(|part| usable(part));
            if !all_usable {
                return None;
            }
            // SAFETY: `Transfer` promises that the slices stay valid where they are; `lent` keeps
            // the buffer, untouched, until `pop` gets the token back.
            unsafe { ring.add(read, written) }.ok()
        });
        match added.and_then(|token| self.lent.get_mut(usize::from(token))) {
            Some(slot) => {
                *slot = Some(buffer);
                self.untold = true;
                Ok(())
            }
            None => Err(buffer),
        }
    }

    /// Takes back the next buffer that the device is done with, and how many bytes it claims to
    /// have written.
    ///
    /// # Errors
    /// [`DeviceError::Protocol`] if it names a buffer that it does not have. The queue cannot be
    /// used any more then: what the device does with the buffers is unknown.
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<Option<(B, usize)>, DeviceError> {
        let Some(token) = self.ring.peek_used() else {
            return Ok(None);
        };
        let Some(slot) = self.lent.get_mut(usize::from(token)) else {
            return Err(DeviceError::Protocol);
        };
        let Some(buffer) = slot else {
            return Err(DeviceError::Protocol);
        };
        let ring = &mut *self.ring;
        let popped = buffer.with_parts(|Parts { read, written }| {
            // SAFETY: `push` added this buffer under this token, and `Transfer` promises that its
            // slices are the same as then. If the device has changed the ring meanwhile, the call
            // fails and the buffer stays lent.
            unsafe { ring.pop_used(token, read, written) }
        });
        match (popped, slot.take()) {
            (Ok(length), Some(buffer)) => Ok(Some((buffer, length as usize))),
            (_, buffer) => {
                *slot = buffer;
                Err(DeviceError::Protocol)
            }
        }
    }

    /// Whether the device is done with some buffer.
    #[inline]
    pub(crate) fn has_used(&self) -> bool {
        self.ring.can_pop()
    }

    /// Tells the device of what was pushed since the last call, if it wants to know.
    #[inline]
    pub(crate) fn tell(&mut self, transport: &mut Transport) {
        if !self.untold {
            return;
        }
        self.untold = false;
        // The new index must be out before the device's flag is read: the device does it the other
        // way round, so that at least one of the two sees the other (section 2.7.13.4.1).
        fence(Ordering::SeqCst);
        if self.ring.should_notify() {
            transport.notify(self.index);
        }
    }

    /// Asks for an interrupt at the next used buffer, or for none. Returns whether there is a used
    /// buffer already, for which no interrupt may come.
    #[inline]
    pub(crate) fn interrupt(&mut self, wanted: bool) -> bool {
        self.ring.set_dev_notify(wanted);
        if !wanted {
            return false;
        }
        // As in `tell`, with the roles exchanged.
        fence(Ordering::SeqCst);
        self.has_used()
    }

    /// Frees the ring and the buffers in it.
    ///
    /// # Safety
    /// The device was reset and has confirmed it, so it uses them no more; the queue is not used
    /// any more either.
    pub(crate) unsafe fn release(&mut self) {
        // SAFETY: the caller does not use the queue again.
        unsafe {
            ManuallyDrop::drop(&mut self.lent);
            ManuallyDrop::drop(&mut self.ring);
        }
    }
}
