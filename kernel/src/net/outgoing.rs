//! A packet on its way out, while smoltcp builds it.

use alloc::{boxed::Box, vec::Vec};
use core::num::NonZeroU16;

use mayfly_device::FrameBuf;

use super::phy::Caught;

/// A packet while it is built.
pub(super) enum Outgoing {
    /// A frame.
    Frame(FrameBuf),
    /// A packet that the device cuts into segments with so much payload.
    ToCut(FrameBuf, NonZeroU16),
    /// The same, of this length, that is cut here.
    Scratch(Box<[u8]>, usize, NonZeroU16),
    /// A short one that goes to no device.
    Caught(Caught),
    /// One that cannot be sent.
    Lost(Vec<u8>),
}

impl Outgoing {
    /// Where the packet is built.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Frame(frame) | Self::ToCut(frame, _) => frame.bytes_mut(),
            Self::Scratch(bytes, length, _) => bytes.get_mut(..*length).unwrap_or_default(),
            Self::Caught(frame) => frame.bytes_mut(),
            Self::Lost(bytes) => bytes,
        }
    }
}
