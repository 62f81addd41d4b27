//! The Internet checksum (RFC 1071) of IPv4, TCP and UDP.
//!
//! smoltcp computes it four bytes at a time; this one takes whole words of the machine, and knows
//! what the device has done already. So smoltcp is told that the device computes all of these, and
//! the stack does it here, when a frame comes in and before it goes out.

use smoltcp::wire::IpAddress;

use super::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, PROTOCOL_TCP, PROTOCOL_UDP, u16_at};

/// Bytes in a word of the machine.
const WORD: usize = size_of::<usize>();

/// A sum of 16-bit words in the machine's byte order, not yet folded: one's complement addition
/// gives the same with words of any size (RFC 1071 section 2). Sums of parts that have an even
/// length may be added.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum(usize);

impl Sum {
    /// The sum of `data`, padded with a zero byte to an even length.
    pub(super) fn of(data: &[u8]) -> Self {
        let (blocks, rest) = data.as_chunks::<{ 4 * WORD }>();
        let mut sum = Self(0);
        for block in blocks {
            let (words, _) = block.as_chunks::<WORD>();
            if let [a, b, c, d] = *words {
                sum = sum.and_bytes(a).and_bytes(b).and_bytes(c).and_bytes(d);
            }
        }
        let (words, rest) = rest.as_chunks::<WORD>();
        for &word in words {
            sum = sum.and_bytes(word);
        }
        let (halves, rest) = rest.as_chunks::<4>();
        for &half in halves {
            sum = sum.and_half(half);
        }
        let (pairs, rest) = rest.as_chunks::<2>();
        for &pair in pairs {
            sum = sum.and(Self(u16::from_ne_bytes(pair).into()));
        }
        match *rest {
            [last] => sum.and(Self(u16::from_ne_bytes([last, 0]).into())),
            _ => sum,
        }
    }

    /// With four bytes more.
    #[inline(always)]
    fn and_half(self, half: [u8; 4]) -> Self {
        self.and(Self(u32::from_ne_bytes(half) as usize))
    }

    #[inline(always)]
    fn and_bytes(self, word: [u8; WORD]) -> Self {
        self.and(Self(usize::from_ne_bytes(word)))
    }

    /// The sum of the pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1.
    pub(super) fn of_pseudo_header(
        source: &IpAddress,
        destination: &IpAddress,
        protocol: u8,
        length: u16,
    ) -> Self {
        let addresses = match (source, destination) {
            (IpAddress::Ipv4(source), IpAddress::Ipv4(destination)) => {
                Self(0).and_half(source.octets()).and_half(destination.octets())
            }
            (IpAddress::Ipv6(source), IpAddress::Ipv6(destination)) => {
                Self::of(&source.octets()).and(Self::of(&destination.octets()))
            }
            _ => Self(0),
        };
        addresses.and(Self::of_word(protocol.into())).and(Self::of_word(length))
    }

    /// The sum of one word.
    fn of_word(word: u16) -> Self {
        Self(usize::from(word.to_be()))
    }

    /// The sum of both, with the carry added at the other end.
    #[inline(always)]
    pub(super) fn and(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(sum.wrapping_add(usize::from(carry)))
    }

    /// Folded to 16 bits, in network byte order: what a partial checksum field holds.
    pub(super) fn fold(self) -> u16 {
        let sum = self.0 as u64;
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        u16::from_be(sum as u16)
    }

    /// Whether data that includes its own checksum is intact.
    pub(super) fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    /// The checksum to put into a field that was zero in the sum.
    pub(super) fn complement(self) -> u16 {
        !self.fold()
    }
}

/// Whether the TCP or UDP `segment` (header and payload) is intact.
pub(super) fn is_intact(
    source: &IpAddress,
    destination: &IpAddress,
    protocol: u8,
    segment: &[u8],
) -> bool {
    // RFC 768: a sender that computed no checksum leaves zero there. RFC 8200 8.1 forbids it.
    if protocol == PROTOCOL_UDP
        && matches!(source, IpAddress::Ipv4(_))
        && u16_at(segment, 6) == Some(0)
    {
        return true;
    }
    let Ok(length) = u16::try_from(segment.len()) else { return false };
    Sum::of_pseudo_header(source, destination, protocol, length).and(Sum::of(segment)).is_valid()
}

/// Fills in the checksums of a frame that is about to be sent, whose fields hold zero: that of the
/// IPv4 header, and that of TCP or UDP. If the device goes on with the latter, it becomes the sum
/// of the pseudo header. Returns the length of the TCP or UDP segment, header and payload.
pub(super) fn fill(frame: &mut [u8], device_goes_on: bool) -> Option<usize> {
    let (ethernet, packet) = frame.split_at_mut_checked(14)?;
    let (header, segment, protocol, addresses) = match u16_at(ethernet, 12)? {
        ETHERTYPE_IPV4 => {
            let length = usize::from(packet.first()? & 0xf) * 4;
            let (header, segment) = packet.split_at_mut_checked(length)?;
            let sum = Sum::of(header).complement();
            header.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
            (header, segment, 9, 12..20)
        }
        ETHERTYPE_IPV6 => {
            let (header, segment) = packet.split_at_mut_checked(40)?;
            (header, segment, 6, 8..40)
        }
        _ => return None,
    };
    let (&protocol, addresses) = (header.get(protocol)?, header.get(addresses)?);
    let field = match protocol {
        PROTOCOL_TCP => 16,
        PROTOCOL_UDP => 6,
        _ => return None,
    };
    let length = u16::try_from(segment.len()).ok()?;
    let pseudo = Sum::of(addresses).and(Sum::of_word(protocol.into())).and(Sum::of_word(length));
    let value = if device_goes_on {
        pseudo.fold()
    } else {
        match pseudo.and(Sum::of(segment)).complement() {
            // RFC 768: zero would mean that there is no checksum.
            0 if protocol == PROTOCOL_UDP => 0xffff,
            value => value,
        }
    };
    segment.get_mut(field..field + 2)?.copy_from_slice(&value.to_be_bytes());
    Some(length.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_smoltcp_on_every_length() {
        let data: Vec<u8> = (0..200u32).map(|i| (i * 37 + 11) as u8).collect();
        for length in 0..data.len() {
            let expected = smoltcp::wire::checksum::data(&data[..length]);
            // 0 and 0xffff are the same number in one's complement.
            let sum = Sum::of(&data[..length]).fold();
            assert_eq!(sum % 0xffff, expected % 0xffff, "length {length}");
        }
    }

    #[test]
    fn all_ones_do_not_overflow() {
        let data = vec![0xff; 65_535];
        assert_eq!(Sum::of(&data).fold() % 0xffff, smoltcp::wire::checksum::data(&data) % 0xffff);
    }

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
    }

    #[test]
    fn the_device_can_go_on_from_the_pseudo_header() {
        // 10.0.0.1:1000 -> 10.0.0.2:7, payload "abc"
        let mut frame = vec![0u8; 12];
        frame.extend([8, 0]);
        frame.extend([0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x03, 0xe8, 0, 7, 0, 11, 0, 0, b'a', b'b', b'c']);
        let (mut whole, mut partial) = (frame.clone(), frame);
        fill(&mut whole, false);
        fill(&mut partial, true);
        // By hand: 0a00+0001+0a00+0002+0011+000b = 141f; +03e8+0007+000b+6162+6300 = dc7b.
        assert_eq!(partial[40..42], [0x14, 0x1f]);
        assert_eq!(whole[40..42], (!0xdc7b_u16).to_be_bytes());
        let (source, destination) = (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2));
        assert!(is_intact(&source, &destination, PROTOCOL_UDP, &whole[34..]));
        assert!(!is_intact(&source, &destination, PROTOCOL_UDP, &partial[34..]));
    }
}
