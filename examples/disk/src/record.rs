//! What the disk remembers.

use crate::checksum::crc32;

/// The start of a record: what it is, in which form.
const MAGIC: [u8; 8] = *b"mayflyC1";

/// A count, as it lies at the start of a sector: the magic, the count and the CRC-32 of both, the
/// numbers with their least significant byte first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How often the disk was booted.
    pub count: u64,
}

impl Record {
    /// The record at the start of a sector. `None` if there is none, or half of one.
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let (magic, rest) = sector.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (sum, _) = rest.split_first_chunk()?;
        let record = Self { count: u64::from_le_bytes(*count) };
        let is_whole = *magic == MAGIC && u32::from_le_bytes(*sum) == record.sum();
        is_whole.then_some(record)
    }

    /// Writes the record to the start of a sector.
    pub fn write(self, sector: &mut [u8]) {
        let bytes =
            MAGIC.into_iter().chain(self.count.to_le_bytes()).chain(self.sum().to_le_bytes());
        sector.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }

    fn sum(self) -> u32 {
        crc32(crc32(0, &MAGIC), &self.count.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut sector = [0xff; 512];
        let record = Record { count: 0x0123_4567_89ab_cdef };
        record.write(&mut sector);
        assert_eq!(Record::parse(&sector), Some(record));
    }

    #[test]
    fn damage_is_noticed() {
        let mut sector = [0; 512];
        assert_eq!(Record::parse(&sector), None);
        Record { count: 7 }.write(&mut sector);
        for index in 0..20 {
            let mut damaged = sector;
            damaged[index] ^= 0x10;
            assert_eq!(Record::parse(&damaged), None, "byte {index}");
        }
        assert_eq!(Record::parse(&sector[..19]), None);
    }
}
