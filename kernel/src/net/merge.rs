//! Puts TCP segments of IPv6 together that a device can cut again.
//!
//! smoltcp 0.14 makes packets that are longer than the MTU for IPv4 only. What it sends by IPv6 comes
//! segment by segment; those that follow each other in a burst are one packet to a device that cuts,
//! as they are for IPv4. The first segment waits for others until the burst is over.

use core::{
    num::NonZeroU16,
    ops::{Range, RangeInclusive},
};

use mayfly_device::FrameBuf;

use super::wire::{ETHERTYPE_IPV6, PROTOCOL_TCP, u16_at};

/// Where the TCP header begins in the frame: after Ethernet's and IPv6's.
const TCP: usize = 54;
/// Flags of a segment with nothing but data (RFC 9293 section 3.1).
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

// What all segments of a packet have in common: everything but the lengths, the checksums, the
// sequence number and whether data is to be pushed.
const SAME: [Range<usize>; 4] = [0..18, 20..TCP + 4, TCP + 8..TCP + 13, TCP + 14..TCP + 16];

/// Where the payload of a segment is that can be one of several. `None` if it cannot.
fn payload(frame: &[u8]) -> Option<Range<usize>> {
    let is_tcp = Merge::is_ipv6(frame) && frame.get(20) == Some(&PROTOCOL_TCP);
    let start = TCP + usize::from(*frame.get(TCP + 12)? >> 4) * 4;
    let is_plain = frame.get(TCP + 13).is_some_and(|flags| flags & !PSH == ACK);
    (is_tcp && is_plain && start < frame.len()).then_some(start..frame.len())
}

fn sequence(frame: &[u8]) -> Option<u32> {
    frame.get(TCP + 4..)?.first_chunk().map(|number| u32::from_be_bytes(*number))
}

/// A packet that others may be added to.
pub(super) struct Merge {
    frame: FrameBuf,
    /// Where its payload begins.
    start: usize,
    /// Bytes of payload in a segment of it.
    size: NonZeroU16,
    /// The sequence number of the next.
    next: u32,
    /// Whether there can be a next, which is not so after a shorter one.
    is_open: bool,
}

impl Merge {
    /// Whether a frame is worth a closer look.
    #[inline]
    pub(super) fn is_ipv6(frame: &[u8]) -> bool {
        u16_at(frame, 12) == Some(ETHERTYPE_IPV6)
    }

    /// A packet that begins with this segment, or the frame if that can be none.
    pub(super) fn begin(frame: FrameBuf) -> Result<Self, FrameBuf> {
        let bytes = frame.bytes();
        let begun = payload(bytes).and_then(|payload| {
            let size = NonZeroU16::new(u16::try_from(payload.len()).ok()?)?;
            Some((payload.start, size, sequence(bytes)?.wrapping_add(size.get().into())))
        });
        match begun {
            Some((start, size, next)) => Ok(Self { frame, start, size, next, is_open: true }),
            None => Err(frame),
        }
    }

    /// Where the payload of a segment is that continues this packet, if that has a length then that
    /// the device takes.
    pub(super) fn continuation(
        &self,
        other: &[u8],
        lengths: &RangeInclusive<usize>,
    ) -> Option<Range<usize>> {
        let (own, payload) = (self.frame.bytes(), payload(other)?);
        let is_next = self.is_open && sequence(other) == Some(self.next);
        let fits = payload.len() <= self.size.get().into()
            && lengths.contains(&(own.len() + payload.len()));
        let options = TCP + 20..self.start;
        let mut same = SAME.into_iter().chain([options]);
        let continues = is_next
            && fits
            && payload.start == self.start
            && same.all(|range| own.get(range.clone()) == other.get(range));
        continues.then_some(payload)
    }

    /// Bytes of room after what there is.
    pub(super) fn room(&self) -> usize {
        self.frame.tailroom()
    }

    /// Moves it to a buffer that is larger, if it is.
    pub(super) fn move_to(&mut self, mut buffer: FrameBuf) -> Option<()> {
        let (start, length) = (buffer.headroom(), self.frame.bytes().len());
        if !buffer.set_range(start, start.checked_add(length)?) {
            return None;
        }
        buffer.bytes_mut().copy_from_slice(self.frame.bytes());
        self.frame = buffer;
        Some(())
    }

    /// Adds the payload of a continuation, for which there is room.
    pub(super) fn add(&mut self, other: &[u8], payload: Range<usize>) -> Option<()> {
        let (start, length) = (self.frame.headroom(), self.frame.bytes().len());
        let (more, flags) = (other.get(payload)?, *other.get(TCP + 13)?);
        if !self.frame.set_range(start, start + length + more.len()) {
            return None;
        }
        let bytes = self.frame.bytes_mut();
        bytes.get_mut(length..)?.copy_from_slice(more);
        let total = u16::try_from(length + more.len() - TCP).ok()?;
        bytes.get_mut(18..20)?.copy_from_slice(&total.to_be_bytes());
        *bytes.get_mut(TCP + 13)? |= flags;
        self.next = self.next.wrapping_add(more.len() as u32);
        self.is_open = more.len() == usize::from(self.size.get());
        Some(())
    }

    /// The packet, and into segments of how much payload it is to be cut if it is several.
    pub(super) fn end(self) -> (FrameBuf, Option<NonZeroU16>) {
        let length = self.frame.bytes().len() - self.start;
        let is_one = length <= self.size.get().into();
        (self.frame, if is_one { None } else { Some(self.size) })
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;

    use mayfly_device::{FramePool, PagePool};

    use super::*;
    use crate::net::cutting::Cutting;

    const SIZE: u16 = 1000;

    /// A packet with so much payload, and flags.
    fn packet(payload: usize, flags: u8) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, PROTOCOL_TCP, 64]);
        frame.extend([7; 32]);
        frame.extend([0, 80, 1, 1, 0xff, 0xff, 0xff, 0, 0, 0, 0, 9, 0x50, flags, 4, 5, 0, 0, 0, 0]);
        frame.extend((0..payload).map(|byte| (byte / 7) as u8));
        let length = (frame.len() - TCP) as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        frame
    }

    /// Its segments.
    fn cut(packet: &[u8]) -> Vec<Vec<u8>> {
        let size = NonZeroU16::new(SIZE).unwrap();
        let mut cutting = Cutting::new(packet.into(), packet.len(), size).unwrap();
        let next = || {
            let mut segment = vec![0; cutting.next_length()?];
            cutting.write_next(&mut segment).unwrap();
            Some(segment)
        };
        core::iter::from_fn(next).collect()
    }

    fn pool(size: usize) -> Rc<dyn FramePool> {
        Rc::new(PagePool::new(size, 2))
    }

    fn buffer(size: usize, bytes: &[u8]) -> FrameBuf {
        let mut frame = FrameBuf::allocate(&pool(size), 12).unwrap();
        assert!(frame.set_range(12, 12 + bytes.len()));
        frame.bytes_mut().copy_from_slice(bytes);
        frame
    }

    fn begin(segment: &[u8]) -> Merge {
        Merge::begin(buffer(2048, segment)).ok().unwrap()
    }

    #[test]
    fn what_was_cut_is_put_together() {
        for payload in [1, 1000, 1001, 2000, 2500, 30_000] {
            let whole = packet(payload, ACK | PSH);
            let segments = cut(&whole);
            let mut merge = begin(&segments[0]);
            if segments.len() > 1 {
                merge.move_to(FrameBuf::allocate(&pool(65_536), 12).unwrap()).unwrap();
            }
            for segment in &segments[1..] {
                let payload = merge.continuation(segment, &(1..=65_535)).unwrap();
                merge.add(segment, payload).unwrap();
            }
            let (frame, size) = merge.end();
            assert_eq!(frame.bytes(), whole);
            assert_eq!(size.map(NonZeroU16::get), (payload > 1000).then_some(SIZE));
        }
    }

    #[test]
    fn only_what_follows_is_added() {
        let segments = cut(&packet(3500, ACK));
        let merge = begin(&segments[0]);
        assert!(merge.continuation(&segments[1], &(2074..=2074)).is_some());
        assert!(merge.continuation(&segments[1], &(1..=2073)).is_none(), "too long");
        assert!(merge.continuation(&segments[1], &(2075..=65_535)).is_none(), "too short");
        assert!(merge.continuation(&segments[2], &(1..=65_535)).is_none(), "out of order");
        // Another connection, hop limit, acknowledgement, window; more than data.
        for at in [TCP + 3, 21, TCP + 11, TCP + 15, TCP + 13] {
            let mut other = segments[1].clone();
            other[at] ^= 1;
            assert!(merge.continuation(&other, &(1..=65_535)).is_none(), "byte {at}");
        }
        // Nothing comes after a short one.
        let mut merge = begin(&segments[0]);
        let mut short = segments[1].clone();
        short.truncate(500);
        let payload = merge.continuation(&short, &(1..=65_535)).unwrap();
        merge.add(&short, payload).unwrap();
        let mut next = segments[1].clone();
        let number = sequence(&next).unwrap() + 500 - 74;
        next[TCP + 4..TCP + 8].copy_from_slice(&number.to_be_bytes());
        assert!(merge.continuation(&next, &(1..=65_535)).is_none());
    }

    #[test]
    fn other_frames_are_left_alone() {
        let syn = packet(10, ACK | 2);
        let empty = packet(0, ACK);
        let mut udp = packet(10, ACK);
        udp[20] = 17;
        let mut ipv4 = packet(10, ACK);
        ipv4[12..14].copy_from_slice(&[8, 0]);
        for frame in [syn, empty, udp, ipv4, vec![0; 14]] {
            assert!(Merge::begin(buffer(2048, &frame)).is_err());
        }
    }
}
