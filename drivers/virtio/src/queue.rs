//! One virtqueue that owns its buffers while the device has them.

use core::{
    mem::{self, ManuallyDrop},
    sync::atomic::{Ordering, fence},
};

use mayfly_device::DeviceError;
use virtio_drivers::transport::{DeviceStatus, Transport as Registers};

use crate::{
    StartError,
    dma::physical,
    negotiate::reset,
    ring::{Piece, Ring},
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
/// The slices that `with_parts` passes stay where they are when the value moves, and nothing else
/// reads or writes them while the device has them.
pub(crate) unsafe trait Transfer {
    /// Most slices that there are: as many descriptors does it take.
    const PARTS: usize;

    /// Calls `f` with the slices, of which there is at least one.
    fn with_parts<R>(&mut self, f: impl for<'a> FnOnce(Parts<'a>) -> R) -> R;
}

/// Orders everything that the driver wrote to the rings before everything that it reads from them
/// afterwards, before a task goes to sleep. So the device sees the wish for an interrupt, or the
/// task sees the buffer that came without one.
///
/// It does so by reading a register, because a fence is not enough: QEMU before 8.0 leaves fences
/// out when it emulates a single processor, although its devices run in another thread. Reading a
/// register waits for that thread. What it tells is of use as well.
///
/// # Errors
/// [`DeviceError::Gone`] when the device says that it needs a reset.
#[inline]
pub(crate) fn synchronise(transport: &Transport) -> Result<(), DeviceError> {
    fence(Ordering::SeqCst);
    let is_lost = transport.get_status().contains(DeviceStatus::DEVICE_NEEDS_RESET);
    if is_lost { Err(DeviceError::Gone) } else { Ok(()) }
}

/// A virtqueue of `SIZE` descriptors, and the buffers of type `B` that are in it.
///
/// Dropping it leaks the ring and the buffers, because the device may still use them; see
/// [`release`](Self::release).
pub(crate) struct Queue<B, const SIZE: usize> {
    ring: ManuallyDrop<Ring<SIZE>>,
    /// The buffer whose first descriptor has this number, while the device has it.
    lent: ManuallyDrop<[Option<B>; SIZE]>,
    /// The descriptor after this one: in its chain, or among the free ones. The device cannot
    /// change it, unlike the one in the ring.
    next: [u8; SIZE],
    /// How many descriptors the chain that begins here has.
    lengths: [u8; SIZE],
    /// First of the free descriptors.
    free: u16,
    free_count: u16,
    /// Where the next buffer goes in the available ring.
    offered: u16,
    /// What the device was told of.
    told: u16,
    /// Where the next buffer comes from in the used ring.
    taken: u16,
    index: u16,
    /// What the device knew when it last did not want to be notified of more.
    in_doubt: Option<u16>,
}

impl<B: Transfer, const SIZE: usize> Queue<B, SIZE> {
    /// Sets up queue number `index` of a device with these features, with interrupts off.
    pub(crate) fn new(
        transport: &mut Transport,
        index: u16,
        features: u64,
    ) -> Result<Self, StartError> {
        const { assert!(SIZE <= 256 && B::PARTS <= SIZE) }
        let mut ring = ManuallyDrop::new(Ring::new(transport, index, features)?);
        ring.interrupt_at(None, 0);
        if !transport.queue_works(index) {
            if reset(transport) {
                drop(ManuallyDrop::into_inner(ring));
            }
            return Err(StartError::Configuration);
        }
        Ok(Self {
            ring,
            lent: ManuallyDrop::new([const { None }; SIZE]),
            next: core::array::from_fn(|number| number.wrapping_add(1) as u8),
            lengths: [0; SIZE],
            free: 0,
            free_count: SIZE as u16,
            offered: 0,
            told: 0,
            taken: 0,
            index,
            in_doubt: None,
        })
    }

    /// How many more buffers fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        usize::from(self.free_count) / B::PARTS
    }

    /// Hands a buffer to the device, which does not see it before [`tell`](Self::tell) or
    /// [`show`](Self::show). Gives it back if there is no room, if a part of it is empty, or if the
    /// device cannot reach it.
    #[inline]
    pub(crate) fn push(&mut self, mut buffer: B) -> Result<(), B> {
        let head = self.free;
        // The chain is not offered yet, so a failure in the middle of it leaves nothing behind.
        match buffer.with_parts(|parts| self.describe(parts)) {
            Some(length) => {
                self.free = self.following(head, length);
                self.free_count -= length;
                if let Some(count) = self.lengths.get_mut(usize::from(head)) {
                    *count = length as u8;
                }
                self.ring.offer(self.offered, head);
                self.offered = self.offered.wrapping_add(1);
                if let Some(slot) = self.lent.get_mut(usize::from(head)) {
                    *slot = Some(buffer);
                }
                Ok(())
            }
            None => Err(buffer),
        }
    }

    /// Writes the descriptors of a chain into the first free ones. Returns how many they are.
    #[inline]
    fn describe(&mut self, parts: Parts<'_>) -> Option<u16> {
        let Parts { read, written } = parts;
        let count = read.len() + written.len();
        if count > usize::from(self.free_count) {
            return None;
        }
        let (mut number, mut rest) = (self.free, count);
        for part in read {
            (number, rest) =
                self.describe_part(part.as_ptr(), part.len(), false, (number, rest))?;
        }
        for part in written {
            (number, rest) =
                self.describe_part(part.as_mut_ptr(), part.len(), true, (number, rest))?;
        }
        Some(count as u16)
    }

    /// Writes one descriptor of a chain, of which so many parts are left. Returns the number of the
    /// next one, and how many parts are left then.
    #[inline]
    fn describe_part(
        &mut self,
        start: *const u8,
        length: usize,
        written: bool,
        (number, rest): (u16, usize),
    ) -> Option<(u16, usize)> {
        let length = u32::try_from(length).ok().filter(|length| *length > 0)?;
        let piece = Piece { address: physical(start)?, length, written };
        let next = self.following(number, 1);
        self.ring.describe(number, piece, (rest > 1).then_some(next));
        Some((next, rest - 1))
    }

    /// The descriptor that comes `steps` after `number` in its list.
    #[inline]
    fn following(&self, number: u16, steps: u16) -> u16 {
        (0..steps).fold(number, |at, _| {
            u16::from(self.next.get(usize::from(at)).copied().unwrap_or_default())
        })
    }

    /// Takes back the next buffer that the device is done with, and how many bytes it claims to
    /// have written.
    ///
    /// # Errors
    /// [`DeviceError::Protocol`] if it names a buffer that it does not have. The queue cannot be
    /// used any more then: what the device does with the buffers is unknown.
    #[inline]
    pub(crate) fn pop(&mut self) -> Result<Option<(B, usize)>, DeviceError> {
        if !self.has_used() {
            return Ok(None);
        }
        let used = self.ring.used(self.taken);
        // Only the first descriptor of a chain that is out has a buffer.
        let slot = self.lent.get_mut(used.id as usize).ok_or(DeviceError::Protocol)?;
        let buffer = slot.take().ok_or(DeviceError::Protocol)?;
        self.taken = self.taken.wrapping_add(1);
        self.free_chain(used.id as u16);
        Ok(Some((buffer, used.length as usize)))
    }

    /// Puts the descriptors of a chain in front of the free ones.
    #[inline]
    fn free_chain(&mut self, head: u16) {
        let length = u16::from(self.lengths.get(usize::from(head)).copied().unwrap_or_default());
        let last = self.following(head, length.saturating_sub(1));
        if let Some(next) = self.next.get_mut(usize::from(last)) {
            *next = self.free as u8;
        }
        self.free = head;
        self.free_count += length;
    }

    /// Whether the device is done with some buffer.
    #[inline]
    pub(crate) fn has_used(&self) -> bool {
        self.ring.used_index() != self.taken
    }

    /// With how many buffers the device is done that were not taken back. It is an allegation, too.
    #[inline]
    pub(crate) fn used_count(&self) -> usize {
        self.ring.used_index().wrapping_sub(self.taken).into()
    }

    /// Lets the device see what was pushed, in case it is looking anyway.
    #[inline]
    pub(crate) fn show(&mut self) {
        self.ring.publish(self.offered);
    }

    /// Lets the device see what was pushed since the last call, and notifies it if it wants that.
    /// Returns whether it was notified, which does for everything written before what
    /// [`synchronise`] would do: on the bus that is one access as good as another.
    #[inline]
    pub(crate) fn tell(&mut self, transport: &mut Transport) -> bool {
        if self.told == self.offered {
            return false;
        }
        let old = mem::replace(&mut self.told, self.offered);
        self.ring.publish(self.offered);
        // The new index must be out before the device's wish is read: the device does it the other
        // way round, so that at least one of the two sees the other (section 2.7.13.4.1).
        fence(Ordering::SeqCst);
        self.notify(self.in_doubt.unwrap_or(old), transport);
        self.in_doubt.is_none()
    }

    /// Whether the device was told of everything that was pushed.
    #[inline]
    pub(crate) fn has_told(&self) -> bool {
        self.told == self.offered
    }

    /// Notifies the device if it wants to hear that the index is not `old` any more.
    #[inline]
    fn notify(&mut self, old: u16, transport: &mut Transport) {
        self.in_doubt = if self.ring.wants_notification(old, self.told) {
            transport.notify(self.index);
            None
        } else {
            Some(old)
        };
    }

    /// After [`synchronise`]: notifies the device if [`tell`](Self::tell) has not done so for a
    /// wish that was out of date.
    #[inline]
    pub(crate) fn settle(&mut self, transport: &mut Transport) {
        if let Some(old) = self.in_doubt {
            self.notify(old, transport);
            self.in_doubt = None;
        }
    }

    /// Asks for an interrupt when `count` more buffers were used than were taken back, or earlier.
    /// It takes effect with [`synchronise`], after which [`used_count`](Self::used_count) tells of
    /// buffers for which no interrupt may come.
    #[inline]
    pub(crate) fn interrupt_after(&mut self, count: u16) {
        let index = self.taken.wrapping_add(count).wrapping_sub(1);
        self.ring.interrupt_at(Some(index), self.taken);
    }

    /// Asks for no interrupts.
    #[inline]
    pub(crate) fn no_interrupts(&mut self) {
        self.ring.interrupt_at(None, self.taken);
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
