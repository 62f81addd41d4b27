//! Which frame belongs to whom: a checked look at the headers, without a copy.
//!
//! Whatever passes here is well-formed as far as it was looked at; smoltcp checks the rest again.

use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};

use super::checksum::Sum;

/// Ethernet types and IP protocol numbers, from IANA's registries.
pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
/// See above.
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;
/// See above.
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
/// See above.
pub(super) const PROTOCOL_HOP_BY_HOP: u8 = 0;
/// See above.
pub(super) const PROTOCOL_TCP: u8 = 6;
/// See above.
pub(super) const PROTOCOL_UDP: u8 = 17;
/// See above.
pub(super) const PROTOCOL_ICMPV6: u8 = 58;

const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;

/// The two ends of a TCP connection or a UDP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) local: IpEndpoint,
    pub(super) remote: IpEndpoint,
}

impl Flow {
    /// Whether it is one of IPv6.
    pub(super) fn is_ipv6(&self) -> bool {
        matches!(self.remote.addr, IpAddress::Ipv6(_))
    }
}

/// A TCP segment or UDP datagram within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) flow: Flow,
    /// Where its header starts in the frame.
    pub(super) start: usize,
    /// Where its payload ends in the frame.
    pub(super) end: usize,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A TCP segment with a complete header.
    Tcp(Segment),
    /// A UDP datagram with a complete header, whose length field fits.
    Udp(Segment),
    /// An ARP packet.
    Arp,
    /// An ICMPv6 message: neighbour discovery, or something for smoltcp. Starts at this offset.
    Icmpv6(usize),
    /// Something else that smoltcp may answer.
    Other,
    /// Malformed, a fragment, or for somebody else.
    Drop,
}

/// The big-endian number at `offset`.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

/// Looks at a frame that arrived at the interface `mac`.
pub(super) fn classify(frame: &[u8], mac: [u8; 6]) -> Class {
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET_HEADER>() else {
        return Class::Drop;
    };
    // The lowest bit of the first byte marks groups, broadcast included.
    if ethernet[0] & 1 == 0 && ethernet[..6] != mac {
        return Class::Drop;
    }
    // A sender is never a group.
    if ethernet[6] & 1 != 0 {
        return Class::Drop;
    }
    match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        ETHERTYPE_IPV4 => ipv4(packet).unwrap_or(Class::Drop),
        ETHERTYPE_IPV6 => ipv6(packet).unwrap_or(Class::Drop),
        ETHERTYPE_ARP => Class::Arp,
        _ => Class::Drop,
    }
}

/// RFC 791 section 3.1. `None` means drop.
fn ipv4(packet: &[u8]) -> Option<Class> {
    let fixed = packet.first_chunk::<20>()?;
    let header = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if fixed[0] >> 4 != 4 || header < 20 || total < header || total > packet.len() {
        return None;
    }
    // Fragments (offset or "more fragments") are not reassembled.
    if u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0 {
        return None;
    }
    if !Sum::of(packet.get(..header)?).is_valid() {
        return None;
    }
    let source = Ipv4Address::new(fixed[12], fixed[13], fixed[14], fixed[15]);
    let destination = Ipv4Address::new(fixed[16], fixed[17], fixed[18], fixed[19]);
    // RFC 1122 section 3.2.1.3: never valid as a source, or never seen on a wire.
    // Only one who asks for an address by DHCP has none.
    let is_homeless = source.is_unspecified() && fixed[9] != PROTOCOL_UDP;
    if is_homeless
        || source.is_broadcast()
        || source.is_multicast()
        || source.is_loopback()
        || destination.is_loopback()
        || destination.is_unspecified()
    {
        return None;
    }
    let (source, destination) = (source.into(), destination.into());
    transport(fixed[9], packet, header, total, source, destination)
}

/// RFC 8200 section 3. `None` means drop.
fn ipv6(packet: &[u8]) -> Option<Class> {
    let (header, payload) = packet.split_first_chunk::<IPV6_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || length > payload.len() {
        return None;
    }
    let source = Ipv6Address::from(*header.get(8..)?.first_chunk::<16>()?);
    let destination = Ipv6Address::from(*header.get(24..)?.first_chunk::<16>()?);
    if source.is_unspecified()
        || source.is_multicast()
        || source.is_loopback()
        || destination.is_loopback()
        || destination.is_unspecified()
    {
        return None;
    }
    let (source, destination) = (source.into(), destination.into());
    match header[6] {
        PROTOCOL_ICMPV6 => Some(Class::Icmpv6(ETHERNET_HEADER + IPV6_HEADER)),
        // Options before anything but ICMPv6 are not supported: the segment behind them would miss
        // its connection and be answered with a reset.
        PROTOCOL_HOP_BY_HOP if payload.first() != Some(&PROTOCOL_ICMPV6) => None,
        // Fragments are not reassembled.
        44 => None,
        protocol => {
            transport(protocol, packet, IPV6_HEADER, IPV6_HEADER + length, source, destination)
        }
    }
}

fn transport(
    protocol: u8,
    packet: &[u8],
    start: usize,
    end: usize,
    source: IpAddress,
    destination: IpAddress,
) -> Option<Class> {
    if protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP {
        return Some(Class::Other);
    }
    let bytes = packet.get(start..end)?;
    let ports = bytes.first_chunk::<4>()?;
    let flow = Flow {
        remote: IpEndpoint::new(source, u16::from_be_bytes([ports[0], ports[1]])),
        local: IpEndpoint::new(destination, u16::from_be_bytes([ports[2], ports[3]])),
    };
    if flow.local.port == 0 || flow.remote.port == 0 {
        return None;
    }
    let start = ETHERNET_HEADER + start;
    if protocol == PROTOCOL_TCP {
        let header = usize::from(*bytes.get(12)? >> 4) * 4;
        let fits = header >= 20 && header <= bytes.len();
        return fits.then_some(Class::Tcp(Segment { flow, start, end: ETHERNET_HEADER + end }));
    }
    let length = usize::from(u16_at(bytes, 4)?);
    let fits = length >= 8 && length <= bytes.len();
    fits.then(|| Class::Udp(Segment { flow, start, end: start + length }))
}
