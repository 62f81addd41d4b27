//! What a device that computes TCP and UDP checksums needs to know about a frame.
//!
//! Such a device sums the bytes from `start` to the end of the packet and stores the complement at
//! `start + offset`. The field then already holds the sum over the pseudo header (addresses,
//! protocol, length), which the device knows nothing about: RFC 9293 section 3.1 for TCP, RFC 768
//! for UDP, RFC 8200 section 8.1 for both over IPv6.

/// A checksum that the device is to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Where the sum starts: the TCP or UDP header, in bytes from the start of the frame.
    pub start: u16,
    /// Where the result goes, in bytes from `start`.
    pub offset: u16,
    /// Length of all headers: Ethernet, IP and TCP or UDP, in bytes.
    pub headers: u16,
    /// The packet is IPv6.
    pub ipv6: bool,
}

const ETHERNET_HEADER: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Writes the pseudo-header sum into the TCP or UDP checksum field of an outgoing Ethernet frame.
///
/// `None`, and the frame is unchanged, if it has no such field or is a fragment: then there is
/// nothing for the device to do.
#[inline]
pub fn prepare_checksum(frame: &mut [u8]) -> Option<PartialChecksum> {
    let (header, packet) = frame.split_at_mut_checked(ETHERNET_HEADER)?;
    let (ipv6, ip_header, protocol, sum) = match header.last_chunk::<2>() {
        Some(&ETHERTYPE_IPV4) => ipv4_pseudo_header(packet)?,
        Some(&ETHERTYPE_IPV6) => ipv6_pseudo_header(packet)?,
        _ => return None,
    };
    let transport = packet.get_mut(ip_header..)?;
    let (offset, header_size) = match protocol {
        TCP => (16, usize::from(transport.get(12)? >> 4) * 4),
        UDP => (6, 8),
        _ => return None,
    };
    transport.get_mut(offset..)?.first_chunk_mut().map(|field| *field = fold(sum).to_be_bytes())?;
    Some(PartialChecksum {
        start: u16::try_from(ETHERNET_HEADER + ip_header).ok()?,
        offset: offset as u16,
        headers: u16::try_from(ETHERNET_HEADER + ip_header + header_size).ok()?,
        ipv6,
    })
}

/// Whether it is IPv6, length of its header, protocol, and sum of its pseudo header.
type PseudoHeader = (bool, usize, u8, u32);

fn ipv4_pseudo_header(packet: &[u8]) -> Option<PseudoHeader> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let size = usize::from(header[0] & 0xf) * 4;
    // More fragments, or not the first one: no part of it has a checksum of its own.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return None;
    }
    let payload = packet.len().checked_sub(size)?;
    let sum = sum_words(header.last_chunk::<8>()?) + length_words(payload) + u32::from(header[9]);
    Some((false, size, header[9], sum))
}

fn ipv6_pseudo_header(packet: &[u8]) -> Option<PseudoHeader> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let payload = packet.len() - header.len();
    let sum = sum_words(header.last_chunk::<32>()?) + length_words(payload) + u32::from(header[6]);
    Some((true, header.len(), header[6], sum))
}

/// The length as the two 16-bit words in which it enters the sum. The stack cuts frames to their
/// packet, so the length of the slice is the length in the header, except where a packet that the
/// device will cut into segments is too long for that field.
fn length_words(length: usize) -> u32 {
    (length >> 16) as u32 + (length & 0xffff) as u32
}

fn sum_words(bytes: &[u8]) -> u32 {
    bytes.as_chunks().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum()
}

fn fold(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// What the device does with the answer.
    fn finish(frame: &mut [u8], partial: PartialChecksum) {
        let start = usize::from(partial.start);
        let mut words = frame[start..].to_vec();
        if words.len() % 2 == 1 {
            words.push(0);
        }
        let complement = !fold(sum_words(&words));
        let field = start + usize::from(partial.offset);
        frame[field..field + 2].copy_from_slice(&complement.to_be_bytes());
    }

    fn ipv4_udp() -> Vec<u8> {
        // 10.0.0.1:1000 -> 10.0.0.2:7, payload "abc"
        let mut frame = alloc::vec![0u8; 12];
        frame.extend([0x08, 0x00]);
        frame.extend([0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x03, 0xe8, 0, 7, 0, 11, 0, 0, b'a', b'b', b'c']);
        frame
    }

    #[test]
    fn the_result_is_the_known_checksum() {
        let mut frame = ipv4_udp();
        let partial = prepare_checksum(&mut frame).unwrap();
        assert_eq!(partial, PartialChecksum { start: 34, offset: 6, headers: 42, ipv6: false });
        finish(&mut frame, partial);
        // By hand: 0a00+0001+0a00+0002+0011+000b + 03e8+0007+000b+6162+6300 = dc7b, complement.
        assert_eq!(frame[40..42], (!0xdc7b_u16).to_be_bytes());
    }

    #[test]
    fn what_has_no_checksum_is_left_alone() {
        let mut fragment = ipv4_udp();
        fragment[20] = 0x20;
        let mut icmp = ipv4_udp();
        icmp[23] = 1;
        let mut arp = ipv4_udp();
        arp[13] = 6;
        let mut short = ipv4_udp();
        short.truncate(41);
        for mut frame in [fragment, icmp, arp, short] {
            let before = frame.clone();
            assert_eq!(prepare_checksum(&mut frame), None);
            assert_eq!(frame, before);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut frame in prop::collection::vec(any::<u8>(), 0..100), six: bool) {
            if let Some(ethertype) = frame.get_mut(12..14) {
                ethertype.copy_from_slice(if six { &ETHERTYPE_IPV6 } else { &ETHERTYPE_IPV4 });
            }
            if let Some(partial) = prepare_checksum(&mut frame) {
                prop_assert!(usize::from(partial.start + partial.offset) + 2 <= frame.len());
            }
        }
    }
}
