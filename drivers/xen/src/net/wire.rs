//! Requests and responses of a network card (xen/include/public/io/netif.h), as the words that they
//! are in the rings.

use core::num::NonZeroU16;

/// The sender has left the checksum to others, only the sum of the pseudo header is in its field;
/// and it is right, whatever is in its field.
pub(super) const TRANSMIT_CHECKSUM_BLANK: u32 = 1 | 2;
/// More of the frame is in the next request.
pub(super) const TRANSMIT_MORE_DATA: u32 = 4;
/// The next request is an [`ExtraInfo`] about this frame.
pub(super) const TRANSMIT_EXTRA_INFO: u32 = 8;
/// The status of a response to an [`ExtraInfo`], in which nothing else is defined.
const STATUS_NULL: i16 = 1;
/// The same of received frames, in the other order.
const RECEIVE_DATA_VALIDATED: u32 = 1;
const RECEIVE_CHECKSUM_BLANK: u32 = 2;
/// More of the frame is in the next response.
const RECEIVE_MORE_DATA: u32 = 4;
/// The next response is an [`ExtraInfo`] about this frame.
const RECEIVE_EXTRA_INFO: u32 = 8;

/// Words of a transmit and of a receive request.
pub(super) const TRANSMIT_WORDS: usize = 3;
pub(super) const RECEIVE_WORDS: usize = 2;

/// A frame to be sent, or what of it is on one page.
pub(super) struct TransmitRequest {
    /// The page.
    pub reference: u32,
    /// Where on it the part begins.
    pub offset: u16,
    /// Bytes of the part; of the whole frame in the first request for it.
    pub size: u16,
    /// What its response is known by.
    pub id: u16,
    pub flags: u32,
}

impl TransmitRequest {
    pub(super) fn words(&self) -> [u32; TRANSMIT_WORDS] {
        [
            self.reference,
            u32::from(self.offset) | self.flags << 16,
            u32::from(self.id) | u32::from(self.size) << 16,
        ]
    }
}

/// What is said about a frame in an entry of its own (`netif_extra_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExtraInfo {
    /// It is a TCP packet made of, or to be cut into, segments of so much payload.
    Segments { ipv6: bool, size: NonZeroU16 },
    /// There is no frame; those to this group are to come from now on, or not any more.
    Group { address: [u8; 6], joins: bool },
}

/// The kind of an [`ExtraInfo`] about segments, and the two kinds of segments.
const EXTRA_SEGMENTS: u32 = 1;
const SEGMENTS_IPV4: u32 = 1;
const SEGMENTS_IPV6: u32 = 2;
/// The kinds about groups.
const EXTRA_JOIN: u32 = 2;
const EXTRA_LEAVE: u32 = 3;
/// Another one follows (`XEN_NETIF_EXTRA_FLAG_MORE`, in the second byte).
const EXTRA_MORE: u32 = 1 << 8;

impl ExtraInfo {
    /// As the last of a frame.
    pub(super) fn words(self) -> [u32; 2] {
        match self {
            Self::Segments { ipv6, size } => {
                let kind = if ipv6 { SEGMENTS_IPV6 } else { SEGMENTS_IPV4 };
                [EXTRA_SEGMENTS | u32::from(size.get()) << 16, kind]
            }
            Self::Group { address: [a, b, c, d, e, f], joins } => {
                let kind = if joins { EXTRA_JOIN } else { EXTRA_LEAVE };
                [kind | u32::from_le_bytes([0, 0, a, b]), u32::from_le_bytes([c, d, e, f])]
            }
        }
    }

    /// The one that there is, if it is one that was asked for, and whether another one follows.
    pub(super) fn read([first, second]: [u32; RECEIVE_WORDS]) -> (Option<Self>, bool) {
        let ipv6 = match second & 0xff {
            SEGMENTS_IPV4 => Some(false),
            SEGMENTS_IPV6 => Some(true),
            _ => None,
        };
        let size = NonZeroU16::new((first >> 16) as u16);
        let is_about_segments = first & 0xff == EXTRA_SEGMENTS;
        let info = match (ipv6, size) {
            (Some(ipv6), Some(size)) if is_about_segments => Some(Self::Segments { ipv6, size }),
            _ => None,
        };
        (info, first & EXTRA_MORE != 0)
    }
}

/// What became of a frame that was to be sent, or of a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TransmitResponse {
    pub id: u16,
    /// Below 0 if it was not sent.
    pub status: i16,
}

impl TransmitResponse {
    pub(super) fn read([word]: [u32; 1]) -> Self {
        Self { id: word as u16, status: (word >> 16) as i16 }
    }

    /// Whether it is to an [`ExtraInfo`].
    pub(super) fn is_to_extra_info(&self) -> bool {
        self.status == STATUS_NULL
    }
}

/// The words of the request for a frame to be received on a page.
pub(super) fn receive_request(id: u16, reference: u32) -> [u32; RECEIVE_WORDS] {
    [id.into(), reference]
}

/// A frame that was received, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReceiveResponse {
    pub id: u16,
    /// Where on the page it begins.
    pub offset: u16,
    /// Its bytes, or below 0 if there is none.
    pub status: i16,
    flags: u32,
}

impl ReceiveResponse {
    pub(super) fn read([first, second]: [u32; RECEIVE_WORDS]) -> Self {
        Self {
            id: first as u16,
            offset: (first >> 16) as u16,
            status: (second >> 16) as i16,
            flags: second & 0xffff,
        }
    }

    /// Whether its TCP or UDP checksum need not be looked at.
    pub(super) fn is_checked(&self) -> bool {
        self.flags & (RECEIVE_DATA_VALIDATED | RECEIVE_CHECKSUM_BLANK) != 0
    }

    /// Whether more of the frame follows.
    pub(super) fn has_more(&self) -> bool {
        self.flags & RECEIVE_MORE_DATA != 0
    }

    /// Whether an [`ExtraInfo`] is next.
    pub(super) fn has_extra(&self) -> bool {
        self.flags & RECEIVE_EXTRA_INFO != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_header() {
        let request = TransmitRequest {
            reference: 0x1234_5678,
            offset: 0x0abc,
            size: 0x05ea,
            id: 0x00ff,
            flags: TRANSMIT_CHECKSUM_BLANK,
        };
        assert_eq!(request.words(), [0x1234_5678, 0x0003_0abc, 0x05ea_00ff]);
        let response = TransmitResponse::read([0xfffe_0007]);
        assert_eq!(response, TransmitResponse { id: 7, status: -2 });
        let response = ReceiveResponse::read([0x0010_0003, 0x05ea_0002]);
        assert_eq!((response.id, response.offset, response.status), (3, 16, 1514));
        assert!(response.is_checked() && !response.has_more() && !response.has_extra());
        assert!(ReceiveResponse::read([0, 4]).has_more());
        assert!(ReceiveResponse::read([0, 8]).has_extra());
    }

    #[test]
    fn what_is_said_about_segments_can_be_read() {
        let size = NonZeroU16::new(1448).unwrap();
        for ipv6 in [false, true] {
            let info = ExtraInfo::Segments { ipv6, size };
            assert_eq!(ExtraInfo::read(info.words()), (Some(info), false));
        }
        assert_eq!(ExtraInfo::read([0x05a8_0101, 1]), (ExtraInfo::read([0x05a8_0001, 1]).0, true));
        let group = [0x33, 0x33, 0xff, 1, 2, 3];
        let words = |joins| ExtraInfo::Group { address: group, joins }.words();
        assert_eq!(words(true), [0x3333_0002, 0x0302_01ff]);
        assert_eq!(words(false), [0x3333_0003, 0x0302_01ff]);
        // Nobody says that to a front end.
        assert_eq!(ExtraInfo::read(words(true)), (None, false));
        for nonsense in [[0x0000_0001, 1], [0x05a8_0002, 1], [0x05a8_0001, 3], [0, 0]] {
            assert_eq!(ExtraInfo::read(nonsense), (None, false));
        }
    }
}
