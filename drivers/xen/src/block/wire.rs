//! Requests and responses of a disk (xen/include/public/io/blkif.h), as the words that they are in
//! the ring. Sectors have 512 bytes here, whatever those of the disk have.

use mayfly_arch::PAGE_SIZE;
use mayfly_device::DeviceError;

/// Words of a request; the response, in the same entry, takes fewer.
pub(super) const WORDS: usize = 28;

/// How the words are laid out, whatever the processor: numbers of 64 bits are at multiples of 8
/// bytes (`protocol`, `XEN_IO_PROTO_ABI_X86_64` in xen/include/public/io/protocols.h; ARM's has
/// another name and is the same, and a back end takes this one there, too).
pub(super) const LAYOUT: &str = "x86_64-abi";

/// Bytes in a sector of the protocol.
pub(super) const UNIT: usize = 512;

/// Most pages of data that an entry of the ring has room for
/// (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
pub(super) const MAX_SEGMENTS: usize = 11;

/// Words of what is told of a page of data.
pub(super) const SEGMENT_WORDS: usize = 2;

/// Most pages of data that a page of descriptors has room for.
pub(super) const MAX_DESCRIBED: usize = PAGE_SIZE / (4 * SEGMENT_WORDS);

/// Sectors of the protocol in a page.
pub(super) const UNITS_PER_PAGE: usize = PAGE_SIZE / UNIT;

/// What is to be done (`BLKIF_OP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    Read = 0,
    Write = 1,
    /// What was written before is durable before anything is written after it.
    Barrier = 2,
    Flush = 3,
    Discard = 5,
}

/// A part of the data: sectors of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The page.
    pub reference: u32,
    /// Its last sector that counts, of 8; the first is its first.
    pub last: u8,
}

impl Segment {
    /// As it is told.
    pub(super) fn words(self) -> [u32; SEGMENT_WORDS] {
        [self.reference, u32::from(self.last) << 8]
    }
}

/// A request whose pages are told of on another page (`BLKIF_OP_INDIRECT`).
const INDIRECT: u32 = 6;

/// What all requests have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub operation: Operation,
    /// Comes back with the answer.
    pub id: u16,
    /// The first sector.
    pub sector: u64,
}

impl Request {
    fn words(self, first: u32) -> [u32; WORDS] {
        let mut words = [0; WORDS];
        words[0] = first;
        words[2] = self.id.into();
        [words[4], words[5]] = halves(self.sector);
        words
    }

    /// The words of a request with at most [`MAX_SEGMENTS`] pages of data, or of a flush, which has
    /// none.
    pub(super) fn direct(self, segments: impl Iterator<Item = Segment>) -> [u32; WORDS] {
        let mut words = self.words(self.operation as u32);
        let mut count = 0;
        for (place, segment) in words[6..].chunks_exact_mut(SEGMENT_WORDS).zip(segments) {
            place.copy_from_slice(&segment.words());
            count += 1;
        }
        words[0] |= count << 8;
        words
    }

    /// The words of a request with so many pages of data, which are told of on another page.
    pub(super) fn indirect(self, count: usize, descriptors: u32) -> [u32; WORDS] {
        let mut words = self.words(INDIRECT | (self.operation as u32) << 8 | (count as u32) << 16);
        words[7] = descriptors;
        words
    }

    /// The words of a request to forget sectors.
    pub(super) fn discard(self, count: u64) -> [u32; WORDS] {
        let mut words = self.words(self.operation as u32);
        [words[6], words[7]] = halves(count);
        words
    }
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// How a request went, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Okay,
    Unsupported,
    Error,
}

impl Status {
    /// What the kernel is told.
    pub(super) fn result(self) -> Result<(), DeviceError> {
        match self {
            Self::Okay => Ok(()),
            Self::Unsupported => Err(DeviceError::Unsupported),
            Self::Error => Err(DeviceError::Io),
        }
    }
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub id: u64,
    pub status: Status,
}

impl Response {
    pub(super) fn read([low, high, rest]: [u32; 3]) -> Self {
        let status = match (rest >> 16) as i16 {
            0 => Status::Okay,
            -2 => Status::Unsupported,
            _ => Status::Error,
        };
        Self { id: u64::from(low) | u64::from(high) << 32, status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_header() {
        let segments = [Segment { reference: 9, last: 7 }, Segment { reference: 10, last: 0 }];
        let write = Request { operation: Operation::Write, id: 3, sector: 0x1_0000_0002 };
        let words = write.direct(segments.into_iter());
        assert_eq!(words[..10], [0x0201, 0, 3, 0, 2, 1, 9, 0x700, 10, 0]);
        assert!(words[10..].iter().all(|word| *word == 0));
        let words = write.indirect(256, 77);
        assert_eq!(words[..9], [0x0100_0106, 0, 3, 0, 2, 1, 0, 77, 0]);
        assert!(words[9..].iter().all(|word| *word == 0));
        let discard = Request { operation: Operation::Discard, id: 4, sector: 8 };
        assert_eq!(discard.discard(0x2_0000_0000)[..8], [5, 0, 4, 0, 8, 0, 0, 2]);
        let response = Response::read([4, 0, 0xfffe_0001]);
        assert_eq!(response, Response { id: 4, status: Status::Unsupported });
        assert_eq!(Response::read([0, 1, 1]), Response { id: 1 << 32, status: Status::Okay });
        assert_eq!(Response::read([0, 0, 0xffff_0000]).status, Status::Error);
    }
}
