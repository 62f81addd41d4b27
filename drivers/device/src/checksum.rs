//! What a device that computes TCP and UDP checksums needs to know about a frame.
//!
//! Such a device sums the bytes from `start` to the end of the packet and stores the complement at
//! `start + offset`. The field then already holds the sum over the pseudo header (addresses,
//! protocol, length), which the device knows nothing about: RFC 9293 section 3.1 for TCP, RFC 768
//! for UDP, RFC 8200 section 8.1 for both over IPv6. The stack has put it there.

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
const IPV6_HEADER: usize = 40;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const TCP: u8 = 6;
const UDP: u8 = 17;

impl PartialChecksum {
    /// Where the TCP or UDP checksum of an outgoing Ethernet frame is. `None` if it has none, or is
    /// a fragment, none of which has a checksum of its own.
    #[inline]
    pub fn locate(frame: &[u8]) -> Option<Self> {
        let (header, packet) = frame.split_at_checked(ETHERNET_HEADER)?;
        let (ipv6, ip_header, protocol) = match header.last_chunk::<2>() {
            Some(&ETHERTYPE_IPV4) => ipv4_protocol(packet)?,
            Some(&ETHERTYPE_IPV6) => (true, IPV6_HEADER, *packet.get(6)?),
            _ => return None,
        };
        let transport = packet.get(ip_header..)?;
        let (offset, header_size) = match protocol {
            TCP => (16, usize::from(transport.get(12)? >> 4) * 4),
            UDP => (6, 8),
            _ => return None,
        };
        let start = ETHERNET_HEADER + ip_header;
        // An IP header is at most 60 bytes long, a TCP header, too.
        (transport.len() >= offset + 2).then_some(Self {
            start: start as u16,
            offset: offset as u16,
            headers: (start + header_size) as u16,
            ipv6,
        })
    }
}

/// That it is IPv4, the length of its header, and the protocol.
fn ipv4_protocol(packet: &[u8]) -> Option<(bool, usize, u8)> {
    const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
    let header: &[u8; 20] = packet.first_chunk()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & MORE_FRAGMENTS_AND_OFFSET;
    (fragment == 0).then_some((false, usize::from(header[0] & 0xf) * 4, header[9]))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn ipv4_udp() -> Vec<u8> {
        let mut frame = alloc::vec![0u8; 12];
        frame.extend(ETHERTYPE_IPV4);
        frame.extend([0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x03, 0xe8, 0, 7, 0, 11, 0, 0, b'a', b'b', b'c']);
        frame
    }

    #[test]
    fn checksums_are_where_the_headers_say() {
        let udp = PartialChecksum { start: 34, offset: 6, headers: 42, ipv6: false };
        assert_eq!(PartialChecksum::locate(&ipv4_udp()), Some(udp));
        let mut tcp = alloc::vec![0; 14 + 40 + 20];
        tcp[12..14].copy_from_slice(&ETHERTYPE_IPV6);
        tcp[20] = TCP;
        tcp[66] = 8 << 4;
        let expected = PartialChecksum { start: 54, offset: 16, headers: 86, ipv6: true };
        assert_eq!(PartialChecksum::locate(&tcp), Some(expected));
    }

    #[test]
    fn what_has_no_checksum_is_none() {
        let mut fragment = ipv4_udp();
        fragment[20] = 0x20;
        let mut icmp = ipv4_udp();
        icmp[23] = 1;
        let mut arp = ipv4_udp();
        arp[13] = 6;
        let mut short = ipv4_udp();
        short.truncate(41);
        for frame in [fragment, icmp, arp, short] {
            assert_eq!(PartialChecksum::locate(&frame), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut frame in prop::collection::vec(any::<u8>(), 0..100), six: bool) {
            if let Some(ethertype) = frame.get_mut(12..14) {
                ethertype.copy_from_slice(if six { &ETHERTYPE_IPV6 } else { &ETHERTYPE_IPV4 });
            }
            if let Some(partial) = PartialChecksum::locate(&frame) {
                prop_assert!(usize::from(partial.start + partial.offset) + 2 <= frame.len());
            }
        }
    }
}
