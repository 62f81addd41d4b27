//! Requests and responses of a network card (xen/include/public/io/netif.h), as the words that they
//! are in the rings.

/// The sender has left the checksum to others: only the sum of the pseudo header is in its field.
const TRANSMIT_CHECKSUM_BLANK: u32 = 1;
/// The checksum is right, whatever is in its field.
const TRANSMIT_DATA_VALIDATED: u32 = 2;
/// The same of received frames, in the other order.
const RECEIVE_DATA_VALIDATED: u32 = 1;
const RECEIVE_CHECKSUM_BLANK: u32 = 2;
/// More of the frame is in the next response.
const RECEIVE_MORE_DATA: u32 = 4;
/// The next response is no frame but says something about this one.
const RECEIVE_EXTRA_INFO: u32 = 8;

/// Words of a transmit and of a receive request.
pub(super) const TRANSMIT_WORDS: usize = 3;
pub(super) const RECEIVE_WORDS: usize = 2;

/// A frame to be sent, on one page.
pub(super) struct TransmitRequest {
    /// The page.
    pub reference: u32,
    /// Where on it the frame begins.
    pub offset: u16,
    /// Bytes of the frame.
    pub size: u16,
    /// What its response is known by.
    pub id: u16,
    /// The TCP or UDP checksum is left to others.
    pub checksum_blank: bool,
}

impl TransmitRequest {
    pub(super) fn words(&self) -> [u32; TRANSMIT_WORDS] {
        let flags = match self.checksum_blank {
            true => TRANSMIT_CHECKSUM_BLANK | TRANSMIT_DATA_VALIDATED,
            false => 0,
        };
        [
            self.reference,
            u32::from(self.offset) | flags << 16,
            u32::from(self.id) | u32::from(self.size) << 16,
        ]
    }
}

/// What became of a frame that was to be sent.
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

    /// Whether it is a frame in one piece, as every one is that a guest takes which asked for nothing
    /// else.
    pub(super) fn is_whole(&self) -> bool {
        self.flags & (RECEIVE_MORE_DATA | RECEIVE_EXTRA_INFO) == 0
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
            checksum_blank: true,
        };
        assert_eq!(request.words(), [0x1234_5678, 0x0003_0abc, 0x05ea_00ff]);
        let response = TransmitResponse::read([0xfffe_0007]);
        assert_eq!(response, TransmitResponse { id: 7, status: -2 });
        let response = ReceiveResponse::read([0x0010_0003, 0x05ea_0002]);
        assert_eq!((response.id, response.offset, response.status), (3, 16, 1514));
        assert!(response.is_checked() && response.is_whole());
        assert!(!ReceiveResponse::read([0, 4]).is_whole());
    }
}
