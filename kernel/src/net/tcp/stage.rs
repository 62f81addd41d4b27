//! The stage on which a handshake is acted out, and the frames of the peer that are played on it.

use smoltcp::{
    iface::{Config, Interface, SocketSet},
    phy::{ChecksumCapabilities, DeviceCapabilities},
    socket::tcp::Socket,
    time::Instant,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame,
        EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, IpProtocol, IpRepr,
        NdiscNeighborFlags, NdiscRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

use super::{connection::Connection, peer_options::PeerOptions, seed::seed_for, segment::Tcp};
use crate::{
    memory,
    net::{
        phy::{Caught, Phy},
        wire::{ETHERTYPE_IPV4, Flow, u16_at},
    },
};

/// Bytes in the buffers of a connection that is acted out only to see how it begins.
const REHEARSAL: usize = 64;
/// Bytes that the peer says at once. A packet of IPv4 has at most 65,535 with its headers.
const PIECE: usize = 16 * 1024;

pub(super) const OWN_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const PEER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

/// The interface on which the handshake is acted out.
pub(super) struct Stage<'a> {
    /// The connection that is acted out.
    pub(super) flow: &'a Flow,
    interface: Interface,
    capabilities: &'a DeviceCapabilities,
    /// The last frame that was sent.
    caught: Option<Caught>,
    now: Instant,
}

impl<'a> Stage<'a> {
    /// An interface that is at `flow.local` and knows `flow.remote` as a neighbour, whose random
    /// numbers come from `seed`.
    pub(super) fn new(
        flow: &'a Flow,
        capabilities: &'a DeviceCapabilities,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut config = Config::new(OWN_MAC.into());
        config.random_seed = seed;
        let mut caught = None;
        let mut phy = Phy::catch(capabilities, &mut caught, None);
        let mut interface = Interface::new(config, &mut phy, now);
        // With an empty prefix, everybody is a neighbour.
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(flow.local.addr, 0));
        });
        let mut stage = Self { flow, interface, capabilities, caught: None, now };
        stage.hear(&mut SocketSet::new([]), introduction(flow).bytes());
        stage
    }

    /// As [`new`](Self::new), with random numbers such that the first connection begins with `iss`.
    /// `None` if it would not, or there is no memory to find out.
    pub(super) fn beginning_with(
        iss: TcpSeqNumber,
        flow: &'a Flow,
        capabilities: &'a DeviceCapabilities,
        now: Instant,
    ) -> Option<Self> {
        let stage = || Self::new(flow, capabilities, seed_for(iss.0 as u32), now);
        let (mut set, handle) = Connection::sockets(REHEARSAL, REHEARSAL)?;
        set.get_mut::<Socket<'_>>(handle).listen(flow.local).ok()?;
        let line = syn(&PeerOptions::default(), TcpSeqNumber(0), 0);
        let answer = stage().play(&mut set, &line)?;
        (answer.sequence == iss).then(stage)
    }

    /// Lets smoltcp receive a frame.
    pub(super) fn hear(&mut self, set: &mut SocketSet<'static>, frame: &[u8]) {
        let mut phy = Phy::catch(self.capabilities, &mut self.caught, Some(frame));
        self.interface.poll_ingress_single(self.now, &mut phy, set);
    }

    /// Lets the socket of `set` hear a line of the peer. Returns its answer, if it has one.
    pub(super) fn play(&mut self, set: &mut SocketSet<'static>, line: &TcpRepr<'_>) -> Option<Tcp> {
        self.hear(set, tcp_frame(self.flow, line, OWN_MAC).bytes());
        self.prompt(set)
    }

    /// Lets the socket of `set` hear `data`, the first byte of which is the next one of `line`, which
    /// is behind it then. `None` if there is no memory for that.
    pub(super) fn feed(
        &mut self,
        set: &mut SocketSet<'static>,
        line: &mut TcpRepr<'static>,
        data: &[u8],
    ) -> Option<()> {
        for payload in data.chunks(PIECE) {
            let (ip, tcp) = tcp_packet(self.flow, &TcpRepr { payload, ..*line });
            let length = ETHERNET_HEADER_LEN + ip.buffer_len();
            let mut frame = memory::try_zeroed(length, "a TCP receive buffer").ok()?;
            write_tcp(&mut frame, &ip, &tcp, OWN_MAC);
            self.hear(set, &frame);
            line.seq_number += payload.len();
        }
        Some(())
    }

    /// Lets the socket of `set` say what it has to say. Returns its last line.
    pub(super) fn prompt(&mut self, set: &mut SocketSet<'static>) -> Option<Tcp> {
        let mut phy = Phy::catch(self.capabilities, &mut self.caught, None);
        self.interface.poll_egress(self.now, &mut phy, set);
        let frame = self.caught.take()?;
        // smoltcp sends IPv4 without options, and IPv6 without extensions.
        let start = if u16_at(frame.bytes(), 12) == Some(ETHERTYPE_IPV4) { 34 } else { 54 };
        Tcp::parse(frame.bytes().get(start..)?)
    }
}

/// An empty segment.
pub(super) const EMPTY: TcpRepr<'static> = TcpRepr {
    src_port: 0,
    dst_port: 0,
    control: TcpControl::None,
    seq_number: TcpSeqNumber(0),
    ack_number: None,
    window_len: 0,
    window_scale: None,
    max_seg_size: None,
    sack_permitted: false,
    sack_ranges: [None; 3],
    timestamp: None,
    payload: &[],
};

/// The SYN that the peer sent, or answered with.
pub(super) fn syn(peer: &PeerOptions, irs: TcpSeqNumber, window: u16) -> TcpRepr<'static> {
    TcpRepr {
        control: TcpControl::Syn,
        seq_number: irs,
        window_len: window,
        window_scale: peer.window_scale,
        max_seg_size: peer.max_segment_size,
        sack_permitted: peer.sack,
        ..EMPTY
    }
}

/// The frame in which the peer tells its Ethernet address.
fn introduction(flow: &Flow) -> Caught {
    match (flow.remote.addr, flow.local.addr) {
        (IpAddress::Ipv4(source), IpAddress::Ipv4(target)) => {
            let repr = ArpRepr::EthernetIpv4 {
                operation: ArpOperation::Reply,
                source_hardware_addr: PEER_MAC,
                source_protocol_addr: source,
                target_hardware_addr: OWN_MAC,
                target_protocol_addr: target,
            };
            let mut frame = Caught::empty(ETHERNET_HEADER_LEN + repr.buffer_len());
            write(frame.bytes_mut(), OWN_MAC, EthernetProtocol::Arp, |payload| {
                repr.emit(&mut ArpPacket::new_unchecked(payload));
            });
            frame
        }
        (source @ IpAddress::Ipv6(from), target @ IpAddress::Ipv6(to)) => {
            let repr = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::OVERRIDE,
                target_addr: from,
                lladdr: Some(PEER_MAC.into()),
            });
            let ip = IpRepr::new(source, target, IpProtocol::Icmpv6, repr.buffer_len(), 255);
            let mut frame = Caught::empty(ETHERNET_HEADER_LEN + ip.buffer_len());
            write_ip(frame.bytes_mut(), &ip, OWN_MAC, |payload| {
                let sum = ChecksumCapabilities::default();
                repr.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(payload), &sum);
            });
            frame
        }
        _ => Caught::new(&[]),
    }
}

/// A segment from the peer.
pub(super) fn tcp_frame(flow: &Flow, line: &TcpRepr<'_>, destination: EthernetAddress) -> Caught {
    let (ip, tcp) = tcp_packet(flow, line);
    let mut frame = Caught::empty(ETHERNET_HEADER_LEN + ip.buffer_len());
    write_tcp(frame.bytes_mut(), &ip, &tcp, destination);
    frame
}

/// The headers of a segment from the peer.
fn tcp_packet<'a>(flow: &Flow, line: &TcpRepr<'a>) -> (IpRepr, TcpRepr<'a>) {
    let (source, target) = (flow.remote.addr, flow.local.addr);
    let tcp = TcpRepr { src_port: flow.remote.port, dst_port: flow.local.port, ..*line };
    (IpRepr::new(source, target, IpProtocol::Tcp, tcp.buffer_len(), 64), tcp)
}

fn write_tcp(frame: &mut [u8], ip: &IpRepr, tcp: &TcpRepr<'_>, destination: EthernetAddress) {
    write_ip(frame, ip, destination, |payload| {
        let mut packet = TcpPacket::new_unchecked(payload);
        let nothing = ChecksumCapabilities::ignored();
        tcp.emit(&mut packet, &ip.src_addr(), &ip.dst_addr(), &nothing);
    });
}

fn write_ip(
    frame: &mut [u8],
    ip: &IpRepr,
    destination: EthernetAddress,
    fill: impl FnOnce(&mut [u8]),
) {
    let protocol = match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    write(frame, destination, protocol, |packet| {
        ip.emit(&mut *packet, &ChecksumCapabilities::ignored());
        if let Some(payload) = packet.get_mut(ip.header_len()..) {
            fill(payload);
        }
    });
}

fn write(
    frame: &mut [u8],
    destination: EthernetAddress,
    protocol: EthernetProtocol,
    fill: impl FnOnce(&mut [u8]),
) {
    let mut frame = EthernetFrame::new_unchecked(frame);
    frame.set_src_addr(PEER_MAC);
    frame.set_dst_addr(destination);
    frame.set_ethertype(protocol);
    fill(frame.payload_mut());
}

/// The link of a test.
#[cfg(test)]
pub(super) fn link() -> DeviceCapabilities {
    let mut link = DeviceCapabilities::default();
    link.max_transmission_unit = 1514;
    link.checksum = ChecksumCapabilities::ignored();
    link
}
