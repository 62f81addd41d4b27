//! Cuts a long TCP packet into segments, as a device with segmentation offload does.
//!
//! smoltcp is told that the device cuts, once and for all. When there is no memory for a long
//! frame in the device's pool, the stack has to do it after all.

use core::ops::Range;

use super::wire::{ETHERTYPE_IPV4, PROTOCOL_TCP, u16_at};

/// FIN and PSH, which only the last segment keeps (RFC 9293 section 3.1).
const LAST_FLAGS: u8 = 0x09;

/// Where the parts of a long TCP packet are in its Ethernet frame, which smoltcp has built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    is_ipv4: bool,
    tcp: usize,
    payload: usize,
}

impl Layout {
    /// The layout of `frame`, if it is TCP over IPv4 or over IPv6 without extension headers.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let is_ipv4 = u16_at(frame, 12) == Some(ETHERTYPE_IPV4);
        let (protocol, tcp) = if is_ipv4 {
            (frame.get(23), 14 + usize::from(frame.get(14)? & 0xf) * 4)
        } else {
            (frame.get(20), 54)
        };
        let payload = tcp + usize::from(*frame.get(tcp + 12)? >> 4) * 4;
        let is_tcp = protocol == Some(&PROTOCOL_TCP) && payload <= frame.len();
        is_tcp.then_some(Self { is_ipv4, tcp, payload })
    }

    /// Where the payload is in a frame of this length.
    pub(super) fn payload(self, length: usize) -> Range<usize> {
        self.payload..length
    }

    /// Bytes that a segment with this piece of the payload takes.
    pub(super) fn length(self, piece: &Range<usize>) -> usize {
        self.payload + piece.len()
    }

    /// Writes the segment with this piece of `frame` to `segment`, which has the right length. Its
    /// checksums are zero. `None` if the lengths do not fit.
    pub(super) fn write(self, segment: &mut [u8], frame: &[u8], piece: Range<usize>) -> Option<()> {
        let (is_last, offset) = (piece.end == frame.len(), piece.start - self.payload);
        let (headers, payload) = segment.split_at_mut_checked(self.payload)?;
        headers.copy_from_slice(frame.get(..self.payload)?);
        let source = frame.get(piece)?;
        payload.get_mut(..source.len())?.copy_from_slice(source);
        // IPv4 counts its own header, IPv6 does not.
        let (at, before) = if self.is_ipv4 { (16, 14) } else { (18, 54) };
        let length = u16::try_from(self.payload - before + source.len()).ok()?;
        headers.get_mut(at..at + 2)?.copy_from_slice(&length.to_be_bytes());
        if self.is_ipv4 {
            headers.get_mut(24..26)?.fill(0);
        }
        let tcp = headers.get_mut(self.tcp..)?;
        tcp.get_mut(16..18)?.fill(0);
        let number = tcp.get_mut(4..)?.first_chunk_mut::<4>()?;
        *number = u32::from_be_bytes(*number).wrapping_add(offset as u32).to_be_bytes();
        if !is_last {
            *tcp.get_mut(13)? &= !LAST_FLAGS;
        }
        Some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::net) fn long_frame(ipv6: bool, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 12];
        if ipv6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, PROTOCOL_TCP, 64]);
            frame.extend([7; 32]);
        } else {
            frame.extend([8, 0, 0x45, 0, 0xff, 0xff, 0, 0, 0x40, 0, 64, PROTOCOL_TCP, 1, 1]);
            frame.extend([7; 8]);
        }
        frame.extend([
            0, 80, 1, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 9, 0x50, 0x19, 4, 5, 9, 9, 0, 0,
        ]);
        frame.extend((0..payload).map(|byte| byte as u8));
        frame
    }

    #[test]
    fn segments_add_up_to_the_packet() {
        for ipv6 in [false, true] {
            let frame = long_frame(ipv6, 2500);
            let layout = Layout::of(&frame).unwrap();
            let all = layout.payload(frame.len());
            let mut payload = Vec::new();
            let mut lengths = Vec::new();
            for start in all.clone().step_by(1000) {
                let piece = start..all.end.min(start + 1000);
                let mut segment = vec![0; layout.length(&piece)];
                layout.write(&mut segment, &frame, piece).unwrap();
                let tcp = if ipv6 { 54 } else { 34 };
                let sequence = u32::from_be_bytes(segment[tcp + 4..tcp + 8].try_into().unwrap());
                assert_eq!(sequence, 0xffff_fffe_u32.wrapping_add(payload.len() as u32));
                let is_last = payload.len() == 2000;
                assert_eq!(segment[tcp + 13], if is_last { 0x19 } else { 0x10 });
                let length = u16_at(&segment, if ipv6 { 18 } else { 16 }).unwrap();
                assert_eq!(usize::from(length) + if ipv6 { 54 } else { 14 }, segment.len());
                assert_eq!(segment[tcp + 16..tcp + 18], [0, 0]);
                lengths.push(segment.len() - tcp - 20);
                payload.extend_from_slice(&segment[tcp + 20..]);
            }
            assert_eq!(lengths, [1000, 1000, 500]);
            assert_eq!(payload, &frame[frame.len() - 2500..]);
        }
    }

    #[test]
    fn what_is_not_tcp_has_no_layout() {
        let mut frame = long_frame(false, 10);
        frame[23] = 17;
        assert!(Layout::of(&frame).is_none());
        assert!(Layout::of(&long_frame(true, 0)[..60]).is_none());
        let mut frame = long_frame(false, 0);
        frame[46] = 0xf0;
        assert!(Layout::of(&frame).is_none());
    }
}
