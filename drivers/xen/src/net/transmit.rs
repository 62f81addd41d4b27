//! The transmit ring: frames out.
//!
//! A frame goes out of the buffer in which the stack wrote it: its page is granted for reading. The
//! back end may keep it until the frame has left the last machine that has it, so a buffer returns
//! to its pool only with the response, and a slot, which is what the response names, too.

use alloc::{rc::Rc, vec::Vec};

use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{DeviceError, FrameBuf, PartialChecksum};

use super::{
    GrantedRing,
    wire::{TRANSMIT_WORDS, TransmitRequest, TransmitResponse},
};
use crate::{
    byte_ring::BadIndex,
    grants::{Access, DomainId, Grant, Grantable, Reservation},
};

/// Frames that may be under way.
pub(super) const SLOTS: usize = 64;

/// A frame that the back end reads.
struct Outgoing(FrameBuf);

// SAFETY: the buffer stays where it is until it is dropped. It may be one of two on its page, but it
// is only granted for reading, and what another domain reads is its own affair.
unsafe impl Grantable for Outgoing {
    fn frame(&self) -> Option<u64> {
        // Where the frame is: a buffer of another device's pool may have several pages.
        Some(mmu::virt_to_phys(self.0.bytes().as_ptr())?.0 / PAGE_SIZE as u64)
    }
}

/// The transmit ring and what is under way.
pub(super) struct Transmitter {
    ring: GrantedRing<TRANSMIT_WORDS>,
    domain: DomainId,
    entries: Rc<Reservation>,
    slots: Vec<Option<Grant<Outgoing>>>,
    /// Numbers of slots that are free.
    free: Vec<u16>,
    /// Whether the back end fills in checksums.
    checksums: bool,
    /// Frames that the back end did not send.
    pub(super) dropped: u64,
}

impl Transmitter {
    pub(super) fn new(
        ring: GrantedRing<TRANSMIT_WORDS>,
        domain: DomainId,
        entries: Rc<Reservation>,
        checksums: bool,
    ) -> Self {
        let slots = (0..SLOTS).map(|_| None).collect();
        let free = (0..SLOTS as u16).collect();
        Self { ring, domain, entries, slots, free, checksums, dropped: 0 }
    }

    /// How many frames can be pushed.
    pub(super) fn room(&self) -> usize {
        self.free.len().min(self.entries.left())
    }

    /// Writes the request for a frame.
    pub(super) fn push(&mut self, frame: FrameBuf) -> Result<(), DeviceError> {
        let checksum_blank = self.checksums && PartialChecksum::locate(frame.bytes()).is_some();
        let offset = frame.bytes().as_ptr().addr() % PAGE_SIZE;
        let size = frame.bytes().len();
        if offset + size > PAGE_SIZE {
            return Err(DeviceError::Unsupported);
        }
        let id = self.free.pop().ok_or(DeviceError::OutOfMemory)?;
        let granted = self.entries.grant(self.domain, Outgoing(frame), Access::ReadOnly);
        let Ok(grant) = granted else {
            self.free.push(id);
            return Err(DeviceError::OutOfMemory);
        };
        let request = TransmitRequest {
            reference: grant.reference().0,
            offset: offset as u16,
            size: size as u16,
            id,
            checksum_blank,
        };
        // There are fewer slots than entries in the ring.
        let fits = self.ring.push(&request.words());
        debug_assert!(fits);
        if let Some(slot) = self.slots.get_mut(usize::from(id)) {
            *slot = Some(grant);
        }
        Ok(())
    }

    /// Shows the back end what was pushed. Returns whether it wants an event.
    pub(super) fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// Frees the buffers of frames that have left.
    ///
    /// # Errors
    /// If the back end answers what it was not asked.
    pub(super) fn reclaim(&mut self) -> Result<(), BadIndex> {
        while let Some(words) = self.ring.pop()? {
            let TransmitResponse { id, status } = TransmitResponse::read(words);
            let slot = self.slots.get_mut(usize::from(id)).and_then(Option::take);
            // If the page is still mapped, the grant keeps it until it is not.
            drop(slot.ok_or(BadIndex)?);
            self.free.push(id);
            self.dropped += u64::from(status < 0);
        }
        Ok(())
    }

    /// Asks for an event when `count` more frames have left. Returns whether they have already.
    pub(super) fn wants_event_after(&self, count: usize) -> bool {
        self.ring.wants_event_after(count as u32)
    }
}
