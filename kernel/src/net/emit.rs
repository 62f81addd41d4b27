//! Frames that the stack sends by itself: questions to the link, and UDP datagrams.

use mayfly_device::FrameBuf;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol, IpRepr, Ipv4Address, Ipv6Address,
        NdiscNeighborFlags, NdiscRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket,
        UdpRepr,
    },
};

use super::{checksum, port::Port, wire::Flow};

const ETHERNET: usize = 14;
const UDP: usize = 8;
/// Hop limit of what must not have crossed a router (RFC 4861 section 4).
const HOP_LIMIT_LINK: u8 = 255;
/// Hop limit of everything else (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// All hosts on the link (RFC 4291 section 2.7.1).
pub(super) const ALL_NODES: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers on the link (RFC 4291 section 2.7.1).
const ALL_ROUTERS: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Asks the link who has `target` (RFC 826). With one's own address, tells it that one has it (RFC
/// 5227 section 2.3).
pub(super) fn arp_request(port: &mut Port, source: Ipv4Address, target: Ipv4Address) {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(port.info.mac),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let Some(mut frame) = port.allocate(ETHERNET + repr.buffer_len()) else { return };
    ethernet(&mut frame, port, EthernetAddress::BROADCAST, EthernetProtocol::Arp);
    if let Some(payload) = frame.bytes_mut().get_mut(ETHERNET..) {
        repr.emit(&mut ArpPacket::new_unchecked(payload));
    }
    port.send(frame);
}

/// Asks the link who has `target` (RFC 4861 section 7.2.2).
pub(super) fn neighbor_solicitation(port: &mut Port, source: Ipv6Address, target: Ipv6Address) {
    let lladdr = Some(EthernetAddress(port.info.mac).into());
    let repr = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
    to_group(port, source, solicited_node(target), Icmpv6Repr::Ndisc(repr));
}

/// The group in which the host with this address is asked for (RFC 4291 section 2.7.1).
pub(super) fn solicited_node(address: Ipv6Address) -> Ipv6Address {
    let [.., a, b, c] = address.octets();
    Ipv6Address::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Tells the link who has `own`, without being asked (RFC 4861 section 7.2.6).
pub(super) fn neighbor_advertisement(port: &mut Port, own: Ipv6Address) {
    let lladdr = Some(EthernetAddress(port.info.mac).into());
    let flags = NdiscNeighborFlags::OVERRIDE;
    let repr = NdiscRepr::NeighborAdvert { flags, target_addr: own, lladdr };
    to_group(port, own, ALL_NODES, Icmpv6Repr::Ndisc(repr));
}

/// Asks routers to advertise themselves (RFC 4861 section 6.3.7).
pub(super) fn router_solicitation(port: &mut Port, source: Ipv6Address) {
    let lladdr = Some(EthernetAddress(port.info.mac).into());
    to_group(port, source, ALL_ROUTERS, Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr }));
}

fn to_group(port: &mut Port, source: Ipv6Address, group: Ipv6Address, repr: Icmpv6Repr<'_>) {
    let ip = IpRepr::new(
        source.into(),
        group.into(),
        IpProtocol::Icmpv6,
        repr.buffer_len(),
        HOP_LIMIT_LINK,
    );
    let Some(mut frame) = packet(port, multicast_v6(&group), &ip) else { return };
    if let Some(payload) = frame.bytes_mut().get_mut(ETHERNET + ip.header_len()..) {
        let mut payload = Icmpv6Packet::new_unchecked(payload);
        repr.emit(&source, &group, &mut payload, &ChecksumCapabilities::default());
    }
    port.send(frame);
}

/// Builds a UDP datagram of `length` bytes, which `fill` writes. The Ethernet destination is left
/// empty. `None` if there is no memory for it.
pub(super) fn udp<R>(
    port: &mut Port,
    flow: &Flow,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> R,
) -> Option<(FrameBuf, R)> {
    let ip =
        IpRepr::new(flow.local.addr, flow.remote.addr, IpProtocol::Udp, UDP + length, HOP_LIMIT);
    let mut frame = packet(port, EthernetAddress([0; 6]), &ip)?;
    let nothing = ChecksumCapabilities::ignored();
    let datagram = frame.bytes_mut().get_mut(ETHERNET + ip.header_len()..)?;
    let mut datagram = UdpPacket::new_unchecked(datagram);
    let repr = UdpRepr { src_port: flow.local.port, dst_port: flow.remote.port };
    let mut result = None;
    repr.emit(
        &mut datagram,
        &flow.local.addr,
        &flow.remote.addr,
        length,
        |payload| result = Some(fill(payload)),
        &nothing,
    );
    checksum::fill(frame.bytes_mut(), port.info.checksums.on_transmit);
    Some((frame, result?))
}

/// Answers a TCP segment with an empty acknowledgement: `frame` is what came in, of `flow`; the
/// answer has the sequence number `sequence` and acknowledges everything before `next`.
pub(super) fn acknowledge(
    port: &mut Port,
    frame: &[u8],
    flow: &Flow,
    sequence: TcpSeqNumber,
    next: TcpSeqNumber,
) {
    let repr = TcpRepr {
        src_port: flow.local.port,
        dst_port: flow.remote.port,
        control: TcpControl::None,
        seq_number: sequence,
        ack_number: Some(next),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (source, destination) = (flow.local.addr, flow.remote.addr);
    let ip = IpRepr::new(source, destination, IpProtocol::Tcp, repr.buffer_len(), HOP_LIMIT);
    let Some(&mac) = frame.get(6..).and_then(|rest| rest.first_chunk::<6>()) else { return };
    let Some(mut answer) = packet(port, EthernetAddress(mac), &ip) else { return };
    let segment = answer.bytes_mut().get_mut(ETHERNET + ip.header_len()..);
    let nothing = ChecksumCapabilities::ignored();
    if let Some(segment) = segment {
        let mut segment = TcpPacket::new_unchecked(segment);
        repr.emit(&mut segment, &source, &destination, &nothing);
    }
    checksum::fill(answer.bytes_mut(), port.info.checksums.on_transmit);
    port.send(answer);
}

/// A frame with Ethernet and IP header, and room for the rest. Its checksums are zero.
fn packet(port: &mut Port, destination: EthernetAddress, ip: &IpRepr) -> Option<FrameBuf> {
    let protocol = match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    let mut frame = port.allocate(ETHERNET + ip.buffer_len())?;
    ethernet(&mut frame, port, destination, protocol);
    let packet = frame.bytes_mut().get_mut(ETHERNET..)?;
    ip.emit(packet, &ChecksumCapabilities::ignored());
    Some(frame)
}

/// Addresses a frame.
pub(super) fn set_destination(frame: &mut FrameBuf, mac: [u8; 6]) {
    if let Some(field) = frame.bytes_mut().get_mut(..6) {
        field.copy_from_slice(&mac);
    }
}

/// The Ethernet address of a group or of everybody on the link, or `None` for a single host.
pub(super) fn group_mac(destination: &IpAddress) -> Option<[u8; 6]> {
    match destination {
        // RFC 1112 section 6.4.
        IpAddress::Ipv4(address) if address.is_multicast() => {
            let [_, a, b, c] = address.octets();
            Some([0x01, 0x00, 0x5e, a & 0x7f, b, c])
        }
        IpAddress::Ipv6(address) if address.is_multicast() => Some(multicast_v6(address).0),
        _ => None,
    }
}

/// RFC 2464 section 7.
pub(super) fn multicast_v6(group: &Ipv6Address) -> EthernetAddress {
    let [.., a, b, c, d] = group.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}

fn ethernet(
    frame: &mut FrameBuf,
    port: &Port,
    destination: EthernetAddress,
    protocol: EthernetProtocol,
) {
    let mut header = EthernetFrame::new_unchecked(frame.bytes_mut());
    header.set_src_addr(EthernetAddress(port.info.mac));
    header.set_dst_addr(destination);
    header.set_ethertype(protocol);
}
