//! `virtio_net_hdr`, which precedes every frame (Virtual I/O Device 1.2, section 5.1.6).
//!
//! ```text
//!  0        1          2         4          6            8             10
//!  flags    gso_type   hdr_len   gso_size   csum_start   csum_offset   num_buffers
//! ```
//! Little-endian. A legacy device leaves out `num_buffers`, unless it was agreed that it may use
//! several.

use core::num::NonZeroU16;

use mayfly_device::{FrameBuf, PartialChecksum, Received};
use virtio_drivers::transport::Transport as Registers;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian::U16};

use crate::transport::Transport;

/// Length of the header of a device of version 1.0 or later.
pub(super) const MAX_SIZE: usize = 12;
const LEGACY_SIZE: usize = 10;

/// `csum_start` and `csum_offset` tell where a checksum is still to be filled in.
const NEEDS_CSUM: u8 = 1;
/// The device has verified the checksum.
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// `num_buffers`, in a received frame.
const BUFFERS: core::ops::Range<usize> = LEGACY_SIZE..MAX_SIZE;

/// The header, without `num_buffers`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    flags: u8,
    gso_type: u8,
    headers: U16,
    segment_size: U16,
    checksum_start: U16,
    checksum_offset: U16,
}

impl Header {
    /// The header of an outgoing frame.
    #[inline]
    pub(super) fn outgoing(
        checksum: Option<PartialChecksum>,
        segment_size: Option<NonZeroU16>,
    ) -> Self {
        let Some(checksum) = checksum else {
            return Self::default();
        };
        let mut header = Self {
            flags: NEEDS_CSUM,
            checksum_start: U16::new(checksum.start),
            checksum_offset: U16::new(checksum.offset),
            ..Self::default()
        };
        if let Some(size) = segment_size {
            header.gso_type = if checksum.ipv6 { GSO_TCPV6 } else { GSO_TCPV4 };
            header.headers = U16::new(checksum.headers);
            header.segment_size = U16::new(size.get());
        }
        header
    }
}

/// What the header of a device is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    size: usize,
    /// Frames may be longer than the MTU, and spread over several buffers.
    spreads: bool,
}

/// The first buffer of a frame, without the header.
pub(super) struct First {
    pub(super) received: Received,
    /// How many more buffers the frame continues in.
    pub(super) more: u16,
}

impl Layout {
    pub(super) fn for_device(transport: &Transport, spreads: bool) -> Self {
        let short = transport.requires_legacy_layout() && !spreads;
        Self { size: if short { LEGACY_SIZE } else { MAX_SIZE }, spreads }
    }

    /// Whether a frame may take several buffers.
    pub(super) fn spreads(self) -> bool {
        self.spreads
    }

    /// Bytes before every frame.
    pub(super) fn size(self) -> usize {
        self.size
    }

    /// Writes the header in front of a frame, which then begins with it. Returns whether there was
    /// room for it.
    #[inline]
    pub(super) fn prepend(self, header: Header, frame: &mut FrameBuf) -> bool {
        let end = frame.headroom() + frame.bytes().len();
        let Some(start) = frame.headroom().checked_sub(self.size) else {
            return false;
        };
        if !frame.set_range(start, end) {
            return false;
        }
        let bytes = frame.bytes_mut();
        if let Some((place, _)) = bytes.split_first_chunk_mut::<MAX_SIZE>()
            && self.size == MAX_SIZE
        {
            let (header_place, buffers) = place.split_at_mut(LEGACY_SIZE);
            header_place.copy_from_slice(header.as_bytes());
            // `num_buffers` is zero in what the driver sends.
            buffers.fill(0);
        } else if let Some(place) = bytes.first_chunk_mut::<LEGACY_SIZE>() {
            place.copy_from_slice(header.as_bytes());
        }
        true
    }

    /// Takes the header off a buffer of which the device claims to have written `written` bytes.
    /// `None` if they are more than the buffer or hold no frame, or if the frame is longer or takes
    /// more buffers than was agreed on.
    #[inline]
    pub(super) fn strip(self, mut frame: FrameBuf, written: usize) -> Option<First> {
        let (header, _) = Header::ref_from_prefix(frame.whole()).ok()?;
        let checked = header.flags & (NEEDS_CSUM | DATA_VALID) != 0;
        let known = match header.gso_type {
            GSO_NONE => true,
            GSO_TCPV4 | GSO_TCPV6 => self.spreads,
            _ => false,
        };
        let more = if self.spreads { Self::buffers(&frame)?.checked_sub(1)? } else { 0 };
        let fits = self.size < written && frame.set_range(self.size, written);
        (known && fits).then_some(First { received: Received { frame, checked }, more })
    }

    fn buffers(frame: &FrameBuf) -> Option<u16> {
        let bytes = frame.whole().get(BUFFERS)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }
}

const _: () = assert!(size_of::<Header>() == LEGACY_SIZE);
