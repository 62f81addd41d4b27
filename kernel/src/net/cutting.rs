//! A long TCP packet that is cut into segments here. Those for which the device has no room yet wait
//! for it: TCP would send again what is lost, but only after a time.

use alloc::boxed::Box;
use core::{num::NonZeroU16, ops::Range};

use super::segments::Layout;

/// See the module.
pub(super) struct Cutting {
    packet: Box<[u8]>,
    layout: Layout,
    /// Payload of a segment.
    size: NonZeroU16,
    /// What is left of the payload: places in the packet.
    rest: Range<usize>,
}

impl Cutting {
    /// Cuts the packet in the first `length` bytes of `packet` into segments with so much payload.
    /// `None` if it is none.
    pub(super) fn new(packet: Box<[u8]>, length: usize, size: NonZeroU16) -> Option<Self> {
        let layout = Layout::of(packet.get(..length)?)?;
        Some(Self { rest: layout.payload(length), packet, layout, size })
    }

    /// The part of the payload that the next segment has.
    fn piece(&self) -> Range<usize> {
        let Range { start, end } = self.rest;
        start..end.min(start + usize::from(self.size.get()))
    }

    /// Length of the frame with the next segment; `None` if there is none.
    pub(super) fn next_length(&self) -> Option<usize> {
        (!self.rest.is_empty()).then(|| self.layout.length(&self.piece()))
    }

    /// Writes the next segment to a frame of that length, with checksums of zero. `None` if the frame
    /// has another length; the segment is passed over, then.
    pub(super) fn write_next(&mut self, frame: &mut [u8]) -> Option<()> {
        let piece = self.piece();
        self.rest.start = piece.end;
        self.layout.write(frame, self.packet.get(..self.rest.end)?, piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::segments::tests::long_frame;

    #[test]
    fn segments_come_one_by_one() {
        let mut packet = long_frame(false, 2500);
        let length = packet.len();
        // The buffer may be longer than what is in it.
        packet.extend([0xff; 100]);
        let size = NonZeroU16::new(1000).unwrap();
        let mut cutting = Cutting::new(packet.clone().into(), length, size).unwrap();
        let mut payload = Vec::new();
        while let Some(length) = cutting.next_length() {
            let mut frame = vec![0; length];
            cutting.write_next(&mut frame).unwrap();
            payload.extend_from_slice(&frame[54..]);
        }
        assert_eq!(payload, &packet[54..length]);
        assert!(Cutting::new(packet.into(), length + 1000, size).is_none());
    }

    #[test]
    fn a_frame_of_another_length_is_passed_over() {
        let packet = long_frame(true, 1500);
        let size = NonZeroU16::new(1000).unwrap();
        let mut cutting = Cutting::new(packet.clone().into(), packet.len(), size).unwrap();
        assert_eq!(cutting.write_next(&mut [0; 100]), None);
        assert_eq!(cutting.next_length(), Some(74 + 500));
    }
}
