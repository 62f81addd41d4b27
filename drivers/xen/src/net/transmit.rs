//! The transmit ring: frames out.
//!
//! A frame goes out of the buffer in which the stack wrote it: its pages are granted for reading, and
//! each of them takes a request. The back end may keep a page until the frame has left the last
//! machine that has it, so a buffer returns to its pool only with the last response, and a slot,
//! which is what a response names, with the one to it.

use alloc::{rc::Rc, vec::Vec};
use core::num::NonZeroU16;

use mayfly_arch::{PAGE_SIZE, mmu};
use mayfly_device::{DeviceError, FrameBuf, PartialChecksum, SharedFrame};

use super::{
    GrantedRing,
    wire::{
        ExtraInfo, TRANSMIT_CHECKSUM_BLANK, TRANSMIT_EXTRA_INFO, TRANSMIT_MORE_DATA,
        TRANSMIT_WORDS, TransmitRequest, TransmitResponse,
    },
};
use crate::{
    byte_ring::BadIndex,
    grants::{Access, DomainId, Grant, Grantable, Reservation},
};

/// Most pages of a frame. Every netback takes as many, and some drop a frame with more
/// (`XEN_NETIF_NR_SLOTS_MIN` in netif.h).
pub(super) const MAX_PAGES: usize = 18;
/// Shortest frame: an Ethernet header, in the first page.
const MIN_FRAME: usize = 14;

/// A part of a frame, on a page, that the back end reads.
struct Outgoing {
    frame: SharedFrame,
    /// Where the part begins.
    at: usize,
}

// SAFETY: the buffer stays where it is until the last of those who share it is dropped. It may be
// one of two on its page, but it is only granted for reading, and what another domain reads is its
// own affair.
unsafe impl Grantable for Outgoing {
    fn frame(&self) -> Option<u64> {
        let part = self.frame.bytes().get(self.at..)?;
        Some(mmu::virt_to_phys(part.as_ptr())?.0 / PAGE_SIZE as u64)
    }
}

/// What a response may be to.
enum Sent {
    Part(Grant<Outgoing>),
    /// What the back end was told of a group.
    Group,
}

/// The transmit ring and what is under way.
pub(super) struct Transmitter {
    ring: GrantedRing<TRANSMIT_WORDS>,
    domain: DomainId,
    entries: Rc<Reservation>,
    slots: Vec<Option<Sent>>,
    /// Numbers of slots that are free.
    free: Vec<u16>,
    /// Requests under way that are no pages.
    extras: usize,
    /// Whether the back end fills in checksums.
    checksums: bool,
    /// How many pages a frame may have.
    most: usize,
}

impl Transmitter {
    /// With so many slots, for frames of up to `most` pages.
    pub(super) fn new(
        ring: GrantedRing<TRANSMIT_WORDS>,
        domain: DomainId,
        entries: Rc<Reservation>,
        (slots, most): (usize, usize),
        checksums: bool,
    ) -> Self {
        let free = (0..slots as u16).collect();
        let slots = (0..slots).map(|_| None).collect();
        let most = most.min(MAX_PAGES);
        Self { ring, domain, entries, slots, free, extras: 0, checksums, most }
    }

    /// How many frames can be pushed, whatever their length.
    pub(super) fn room(&self) -> usize {
        // A back end may answer pages, and not what was said about them.
        let in_ring = self.ring.room() / 2;
        self.free.len().min(self.entries.left()).min(in_ring) / self.most
    }

    /// Writes the requests for a frame, which is to be cut into segments of so much payload if that
    /// is given.
    pub(super) fn push(
        &mut self,
        frame: FrameBuf,
        segment: Option<NonZeroU16>,
    ) -> Result<(), DeviceError> {
        let bytes = frame.bytes();
        let start = bytes.as_ptr().addr() % PAGE_SIZE;
        let pages = (start + bytes.len()).div_ceil(PAGE_SIZE);
        let begins = bytes.len() >= MIN_FRAME && start + MIN_FRAME <= PAGE_SIZE;
        let fits = pages <= self.most && begins;
        let Some(length) = u16::try_from(bytes.len()).ok().filter(|_| fits) else {
            return Err(DeviceError::Unsupported);
        };
        let checksum = if self.checksums { PartialChecksum::locate(bytes) } else { None };
        let extra = match (segment, checksum) {
            (None, _) => None,
            (Some(size), Some(at)) => Some(ExtraInfo::Segments { ipv6: at.ipv6, size }),
            (Some(_), None) => return Err(DeviceError::Unsupported),
        };
        if self.ring.room() < pages + usize::from(extra.is_some()) {
            return Err(DeviceError::OutOfMemory);
        }
        let mut ids = [0; MAX_PAGES];
        let ids = ids.get_mut(..pages).unwrap_or_default();
        self.grant(&frame.share(), start, ids)?;
        let flags = if checksum.is_some() { TRANSMIT_CHECKSUM_BLANK } else { 0 };
        self.write(ids, (start, length), flags, extra);
        Ok(())
    }

    /// Grants the pages of a frame that begins at `start` of the first, and writes the slots that
    /// they are in to `ids`.
    fn grant(
        &mut self,
        frame: &SharedFrame,
        start: usize,
        ids: &mut [u16],
    ) -> Result<(), DeviceError> {
        if self.free.len().min(self.entries.left()) < ids.len() {
            return Err(DeviceError::OutOfMemory);
        }
        for (index, id) in ids.iter_mut().enumerate() {
            let at = (index * PAGE_SIZE).saturating_sub(start);
            let part = Outgoing { frame: frame.clone(), at };
            let granted = self.entries.grant(self.domain, part, Access::ReadOnly);
            // They are there, and memory of the heap can be granted: only the first can fail.
            let grant = granted.map_err(|_| DeviceError::OutOfMemory)?;
            *id = self.free.pop().ok_or(DeviceError::OutOfMemory)?;
            if let Some(slot) = self.slots.get_mut(usize::from(*id)) {
                *slot = Some(Sent::Part(grant));
            }
        }
        Ok(())
    }

    /// Writes the requests for the parts of a frame in these slots, and what is said about it.
    fn write(
        &mut self,
        ids: &[u16],
        (start, length): (usize, u16),
        flags: u32,
        extra: Option<ExtraInfo>,
    ) {
        let (last, end) = (ids.len() - 1, start + usize::from(length));
        for (index, &id) in ids.iter().enumerate() {
            let slot = self.slots.get(usize::from(id)).and_then(Option::as_ref);
            let Some(Sent::Part(grant)) = slot else { return };
            let reference = grant.reference().0;
            let more = if index < last { TRANSMIT_MORE_DATA } else { 0 };
            let request = if index == 0 {
                let extra = if extra.is_some() { TRANSMIT_EXTRA_INFO } else { 0 };
                let flags = flags | more | extra;
                TransmitRequest { reference, offset: start as u16, size: length, id, flags }
            } else {
                let size = (end - index * PAGE_SIZE).min(PAGE_SIZE) as u16;
                TransmitRequest { reference, offset: 0, size, id, flags: more }
            };
            self.push_words(&request.words());
            if let (0, Some(extra)) = (index, extra) {
                self.extras += 1;
                self.push_words(&extra.words());
            }
        }
    }

    /// Tells the back end of a group, without a frame. Returns false if there is no room.
    #[must_use]
    pub(super) fn push_group(&mut self, address: [u8; 6], joins: bool) -> bool {
        if self.ring.room() < 2 {
            return false;
        }
        let Some(id) = self.free.pop() else { return false };
        if let Some(slot) = self.slots.get_mut(usize::from(id)) {
            *slot = Some(Sent::Group);
        }
        let flags = TRANSMIT_EXTRA_INFO;
        let request = TransmitRequest { reference: 0, offset: 0, size: 0, id, flags };
        self.push_words(&request.words());
        self.extras += 1;
        self.push_words(&ExtraInfo::Group { address, joins }.words());
        true
    }

    fn push_words(&mut self, words: &[u32]) {
        // There was room for all of it.
        let fits = self.ring.push(words);
        debug_assert!(fits);
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
            let response = TransmitResponse::read(words);
            if response.is_to_extra_info() {
                self.extras = self.extras.checked_sub(1).ok_or(BadIndex)?;
                continue;
            }
            let slot = self.slots.get_mut(usize::from(response.id)).and_then(Option::take);
            // If the page is still mapped, the grant keeps it until it is not.
            drop(slot.ok_or(BadIndex)?);
            // Whether it was sent is the sockets' affair.
            self.free.push(response.id);
        }
        Ok(())
    }

    /// Asks for an event when half of what is under way has left. Returns whether it has already.
    pub(super) fn wants_event(&self) -> bool {
        self.ring.wants_event_after((self.ring.outstanding() / 2).max(1))
    }
}
