//! The fields of a TCP header that decide whose a segment is (RFC 9293 section 3.1).

use smoltcp::wire::TcpSeqNumber;

use crate::net::wire::Segment;

/// The control bits.
pub(super) const FIN: u8 = 0x01;
/// See above.
pub(super) const SYN: u8 = 0x02;
/// See above.
pub(super) const RST: u8 = 0x04;
/// See above.
pub(super) const ACK: u8 = 0x10;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) flags: u8,
    pub(super) sequence: TcpSeqNumber,
    pub(super) acknowledgement: TcpSeqNumber,
    /// The window field.
    pub(super) window: u16,
    /// Bytes of payload.
    pub(super) payload: usize,
}

impl Tcp {
    /// The header of a segment, which `wire::classify` has found to be complete.
    pub(super) fn of(bytes: &[u8], segment: &Segment) -> Option<Self> {
        Self::parse(bytes.get(segment.start..segment.end)?)
    }

    /// The header at the start of `bytes`, which end with the segment.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<20>()?;
        let number = |at: usize| {
            let word = header.get(at..)?.first_chunk()?;
            Some(TcpSeqNumber(i32::from_be_bytes(*word)))
        };
        Some(Self {
            flags: header[13],
            window: u16::from_be_bytes([header[14], header[15]]),
            sequence: number(4)?,
            acknowledgement: number(8)?,
            payload: bytes.len().checked_sub(usize::from(header[12] >> 4) * 4)?,
        })
    }

    /// Whether it asks for a connection.
    pub(super) fn is_request(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }
}
