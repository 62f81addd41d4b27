//! Requests and responses of a disk (xen/include/public/io/blkif.h), as the words that they are in
//! the ring. Sectors have 512 bytes here, whatever those of the disk have.

use super::MAX_PAGES;

/// Words of a request; the response, in the same entry, takes fewer.
pub(super) const WORDS: usize = 28;

/// How the words are laid out, whatever the processor: numbers of 64 bits are at multiples of 8
/// bytes (`protocol`, `XEN_IO_PROTO_ABI_X86_64` in xen/include/public/io/protocols.h; ARM's has
/// another name and is the same, and a back end takes this one there, too).
pub(super) const LAYOUT: &str = "x86_64-abi";

/// Bytes in a sector of the protocol.
pub(super) const UNIT: usize = 512;

/// What is to be done (`BLKIF_OP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    Read = 0,
    Write = 1,
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

/// The words of a request with data, or of a flush, which has none.
pub(super) fn transfer(
    operation: Operation,
    id: u16,
    sector: u64,
    segments: &[Segment],
) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    let count = segments.len().min(MAX_PAGES);
    words[0] = operation as u32 | (count as u32) << 8;
    words[2] = id.into();
    [words[4], words[5]] = halves(sector);
    for (place, segment) in words[6..].chunks_exact_mut(2).zip(segments) {
        place.copy_from_slice(&[segment.reference, u32::from(segment.last) << 8]);
    }
    words
}

/// The words of a request to forget sectors.
pub(super) fn discard(id: u16, sector: u64, count: u64) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    words[0] = Operation::Discard as u32;
    words[2] = id.into();
    [words[4], words[5]] = halves(sector);
    [words[6], words[7]] = halves(count);
    words
}

fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Okay,
    Unsupported,
    Error,
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
        let words = transfer(Operation::Write, 3, 0x1_0000_0002, &segments);
        assert_eq!(words[..10], [0x0201, 0, 3, 0, 2, 1, 9, 0x700, 10, 0]);
        assert!(words[10..].iter().all(|word| *word == 0));
        let words = discard(4, 8, 0x2_0000_0000);
        assert_eq!(words[..8], [5, 0, 4, 0, 8, 0, 0, 2]);
        let response = Response::read([4, 0, 0xfffe_0001]);
        assert_eq!(response, Response { id: 4, status: Status::Unsupported });
        assert_eq!(Response::read([0, 1, 1]), Response { id: 1 << 32, status: Status::Okay });
        assert_eq!(Response::read([0, 0, 0xffff_0000]).status, Status::Error);
    }
}
