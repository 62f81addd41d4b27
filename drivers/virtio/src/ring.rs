//! The memory of a virtqueue (Virtual I/O Device 1.2, section 2.7), and how to read and write it.
//!
//! | offset | size | written by | holds |
//! |---|---|---|---|
//! | 0 | 16 · `SIZE` | driver | descriptors: address u64, length u32, flags u16, next u16 |
//! | 16 · `SIZE` | 6 + 2 · `SIZE` | driver | available ring: flags u16, index u16, heads u16 …, used event u16 |
//! | after it | 6 + 8 · `SIZE` | device | used ring: flags u16, index u16, (id u32, length u32) …, available event u16 |
//!
//! With `VIRTIO_F_EVENT_IDX`, each side writes behind its own ring the index of the other one after
//! whose passing it wants to hear; without it, each has a flag that says "not now".
//!
//! All of it is little-endian, as are the machines that Mayfly runs on. With a legacy device, the
//! used ring begins at the next page; otherwise it follows at once, and a queue fits a page.

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use mayfly_arch::{PAGE_SIZE, PhysAddr};
use virtio_drivers::transport::Transport as Registers;

use crate::{StartError, dma::Pages, negotiate::EVENT_IDX, transport::Transport};

/// The chain goes on at `next`.
const NEXT: u16 = 1;
/// The device writes the buffer; otherwise it reads it.
const WRITE: u16 = 2;

/// In the available ring: do not interrupt. In the used ring: do not notify.
const QUIET: u16 = 1;

const DESCRIPTOR_SIZE: usize = 16;
const USED_ELEMENT_SIZE: usize = 8;
/// Flags and index, before the elements of either ring.
const HEADER_SIZE: usize = 4;
/// The event at the end of each ring.
const EVENT_SIZE: usize = 2;

/// How far behind or ahead an event is put that is not to come. Nothing is ever that far apart
/// unless it was not looked at for long, and then one event too many does no harm.
const NEVER: u16 = 0x8000;

/// One piece of a buffer, as a descriptor tells it.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) address: PhysAddr,
    pub(crate) length: u32,
    /// The device writes it.
    pub(crate) written: bool,
}

/// An entry of the used ring: what the device alleges.
#[derive(Clone, Copy)]
pub(crate) struct Used {
    /// Number of the first descriptor.
    pub(crate) id: u32,
    /// Bytes written.
    pub(crate) length: u32,
}

/// A virtqueue of `SIZE` descriptors. Knows the layout, and nothing of what is in use.
pub(crate) struct Ring<const SIZE: usize> {
    descriptors: NonNull<u64>,
    available: NonNull<u16>,
    used: NonNull<u8>,
    /// `VIRTIO_F_EVENT_IDX` was agreed on.
    has_events: bool,
    _memory: Pages,
}

impl<const SIZE: usize> Ring<SIZE> {
    const IS_VALID: () = assert!(SIZE.is_power_of_two() && SIZE <= 256);

    const MASK: u16 = SIZE as u16 - 1;
    const AVAILABLE: usize = DESCRIPTOR_SIZE * SIZE;
    const AVAILABLE_END: usize = Self::AVAILABLE + HEADER_SIZE + 2 * SIZE + EVENT_SIZE;
    const USED_SIZE: usize = HEADER_SIZE + USED_ELEMENT_SIZE * SIZE + EVENT_SIZE;

    /// Makes queue number `index` of a device with these features.
    pub(crate) fn new(
        transport: &mut Transport,
        index: u16,
        features: u64,
    ) -> Result<Self, StartError> {
        const { Self::IS_VALID }
        if transport.queue_used(index) || transport.max_queue_size(index) < SIZE as u32 {
            return Err(StartError::Queue);
        }
        let align = if transport.requires_legacy_layout() { PAGE_SIZE } else { 4 };
        let used = Self::AVAILABLE_END.next_multiple_of(align);
        let memory = Pages::zeroed(used + Self::USED_SIZE).ok_or(StartError::OutOfMemory)?;
        let (start, address) = (memory.start(), memory.address().0);
        transport.queue_set(
            index,
            SIZE as u32,
            address,
            address + Self::AVAILABLE as u64,
            address + used as u64,
        );
        // SAFETY: both offsets lie within the memory; descriptors need an alignment of 8, the
        // available ring one of 2, the used ring one of 4, which the offsets keep.
        let (available, used) =
            unsafe { (start.byte_add(Self::AVAILABLE).cast(), start.byte_add(used)) };
        let has_events = features & EVENT_IDX != 0;
        Ok(Self { descriptors: start.cast(), available, used, has_events, _memory: memory })
    }

    /// Writes a descriptor; `next` is the one that the chain goes on with.
    #[inline]
    pub(crate) fn describe(&mut self, number: u16, piece: Piece, next: Option<u16>) {
        let flags = if piece.written { WRITE } else { 0 } | if next.is_some() { NEXT } else { 0 };
        let second = u64::from(piece.length)
            | u64::from(flags) << 32
            | u64::from(next.unwrap_or_default()) << 48;
        // SAFETY: the mask keeps the number within the table.
        unsafe {
            let descriptor = self.descriptors.add(2 * usize::from(number & Self::MASK));
            descriptor.write_volatile(piece.address.0);
            descriptor.add(1).write_volatile(second);
        }
    }

    /// Puts the chain that begins at descriptor `head` into place `index` of the available ring.
    /// The device does not look before [`publish`](Self::publish).
    #[inline]
    pub(crate) fn offer(&mut self, index: u16, head: u16) {
        // SAFETY: flags and index are before the heads, and the mask keeps the place within them.
        unsafe { self.available.add(2 + usize::from(index & Self::MASK)).write_volatile(head) }
    }

    /// Lets the device see what was offered before place `index`.
    #[inline]
    pub(crate) fn publish(&mut self, index: u16) {
        // SAFETY: the index is the second field of the available ring, aligned to 2, and accessed
        // atomically by the device.
        let published = unsafe { AtomicU16::from_ptr(self.available.add(1).as_ptr()) };
        published.store(index, Ordering::Release);
    }

    /// Asks the device to interrupt when it has filled place `index` of the used ring, or at every
    /// place if it knows no events; with `None`, not to interrupt. `now` is the next place.
    #[inline]
    pub(crate) fn interrupt_at(&mut self, index: Option<u16>, now: u16) {
        let (offset, value) = if self.has_events {
            (2 + SIZE, index.unwrap_or(now.wrapping_add(NEVER)))
        } else {
            (0, if index.is_none() { QUIET } else { 0 })
        };
        // SAFETY: the flags are the first field of the available ring, the used event is its last,
        // and so on as in `publish`.
        let field = unsafe { AtomicU16::from_ptr(self.available.add(offset).as_ptr()) };
        field.store(value, Ordering::Relaxed);
    }

    /// Whether the device wants to be notified that the index of the available ring has gone from
    /// `old` to `new`.
    #[inline]
    pub(crate) fn wants_notification(&self, old: u16, new: u16) -> bool {
        let offset = if self.has_events { HEADER_SIZE + USED_ELEMENT_SIZE * SIZE } else { 0 };
        // SAFETY: the flags are the first field of the used ring, the available event is its last,
        // both aligned to 2.
        let field = unsafe { AtomicU16::from_ptr(self.used.byte_add(offset).cast().as_ptr()) };
        let value = field.load(Ordering::Relaxed);
        if self.has_events {
            // Whether it has passed the event, where both may have wrapped.
            new.wrapping_sub(value).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            value & QUIET == 0
        }
    }

    /// The index of the used ring: one past the last place that the device has filled. What it
    /// wrote before is visible afterwards.
    #[inline]
    pub(crate) fn used_index(&self) -> u16 {
        // SAFETY: the index is the second field of the used ring, aligned to 2.
        let index = unsafe { AtomicU16::from_ptr(self.used.cast::<u16>().add(1).as_ptr()) };
        index.load(Ordering::Acquire)
    }

    /// What the device put into place `index` of the used ring.
    #[inline]
    pub(crate) fn used(&self, index: u16) -> Used {
        let offset = HEADER_SIZE + USED_ELEMENT_SIZE * usize::from(index & Self::MASK);
        // SAFETY: the mask keeps the place within the ring, which is aligned to 4. The device may
        // write at any time, so each field is read once, as it is.
        unsafe {
            let element = self.used.byte_add(offset).cast::<u32>();
            Used { id: element.read_volatile(), length: element.add(1).read_volatile() }
        }
    }
}
