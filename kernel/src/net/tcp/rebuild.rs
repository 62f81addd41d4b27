//! A connection with other buffers.
//!
//! The buffers of a smoltcp socket are fixed when it is made. So a connection whose buffers are to
//! grow or shrink gets a new socket, which is led to where the old one is by acting the handshake
//! out with it, on an interface of its own to which no device belongs: the SYN that the peer sent,
//! the answer that this side gave, and the acknowledgement, with the sequence numbers of today.
//! Nothing of that reaches the network, and the peer cannot tell the difference.
//!
//! It takes a moment in which nothing waits in either buffer. The one thing that smoltcp does not
//! let others choose is its initial sequence number; but it comes from a generator with a seed, and
//! the seed for a number can be computed. Whether the number came out is checked, so that another
//! generator would make buffers stay as they are, and nothing worse.

#[cfg(test)]
use smoltcp::wire::IpEndpoint;
use smoltcp::{
    iface::{Config, Interface, SocketSet},
    phy::{ChecksumCapabilities, DeviceCapabilities},
    socket::tcp::{Socket, State},
    time::{Duration, Instant},
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, IpProtocol, IpRepr, NdiscNeighborFlags,
        NdiscRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

use super::{
    connection::Connection,
    segment::{ACK, SYN, Tcp},
};
use crate::net::{
    phy::{Caught, MAX_CAUGHT, Phy},
    wire::{ETHERTYPE_IPV4, Flow, u16_at},
};

const OWN_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const PEER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
/// Further away than any timer of a connection.
const LONG: Duration = Duration::from_secs(1 << 30);

/// What the peer said when the connection was made.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::net) struct PeerOptions {
    max_segment_size: Option<u16>,
    window_scale: Option<u8>,
    sack: bool,
}

impl PeerOptions {
    /// The options of a SYN, header and all.
    pub(super) fn of(segment: &[u8]) -> Self {
        let summary = TcpPacket::new_checked(segment).and_then(|packet| packet.options_summary());
        let Ok(summary) = summary else { return Self::default() };
        Self {
            max_segment_size: summary.max_segment_size,
            window_scale: summary.window_scale,
            sack: summary.sack_permitted,
        }
    }

    /// Whether the peer takes a scaled window.
    pub(super) fn scales(&self) -> bool {
        self.window_scale.is_some()
    }

    /// Most bytes that the peer takes in one segment, if it said so.
    pub(super) fn max_segment_size(&self) -> Option<usize> {
        self.max_segment_size.map(usize::from)
    }
}

/// Where a connection is.
struct Position {
    /// The number of the next byte that this side sends; all before are acknowledged.
    send: TcpSeqNumber,
    /// The number of the next byte that the peer sends.
    receive: TcpSeqNumber,
}

/// The interface on which the handshake is acted out.
struct Stage<'a> {
    interface: Interface,
    capabilities: &'a DeviceCapabilities,
    /// The last frame that was sent.
    caught: Option<Caught>,
    now: Instant,
}

/// Gives `connection`, of `flow` and the device with these capabilities and address, buffers of
/// these sizes in bytes. Returns a frame for smoltcp that
/// makes the connection tell the peer its window, which it believes to have done; or `None` if it
/// was not possible, and then the connection is as it was.
pub(super) fn rebuild(
    connection: &mut Connection,
    flow: &Flow,
    (receive, send): (usize, usize),
    (capabilities, mac): (&DeviceCapabilities, EthernetAddress),
    now: Instant,
) -> Option<Caught> {
    let (peer, window) = (connection.peer, connection.peer_window);
    let socket = connection.socket();
    let state = socket.state();
    // Who has said that nothing more comes, this side or the peer. That takes a sequence number.
    let (own_end, peer_end) = match state {
        State::Established => (0, 0),
        State::CloseWait => (0, 1),
        State::FinWait2 => (1, 0),
        _ => return None,
    };
    if socket.recv_queue() > 0 || socket.send_queue() > 0 {
        return None;
    }
    let (mut set, handle) = Connection::sockets(receive, send)?;
    let position = Stage::new(flow, capabilities, 0, now + LONG).position(connection);
    connection.apply_settings();
    let position = position?;
    let (iss, irs) = (position.send - 1 - own_end, position.receive - 1 - peer_end);
    let mut stage = Stage::new(flow, capabilities, seed_for(iss.0 as u32), now);
    set.get_mut::<Socket<'_>>(handle).listen(flow.local).ok()?;
    let answer = stage.play(&mut set, flow, &syn(&peer, irs, window))?;
    if answer.sequence != iss || answer.flags & (SYN | ACK) != SYN | ACK {
        return None;
    }
    let mut line = TcpRepr { seq_number: irs + 1, ack_number: Some(iss + 1), ..EMPTY };
    line.window_len = window;
    stage.play(&mut set, flow, &line);
    if peer_end > 0 {
        line.control = TcpControl::Fin;
        stage.play(&mut set, flow, &line);
        line.control = TcpControl::None;
    }
    if own_end > 0 {
        set.get_mut::<Socket<'_>>(handle).close();
        stage.prompt(&mut set);
        line.ack_number = Some(iss + 2);
        stage.play(&mut set, flow, &line);
    }
    // smoltcp 0.14 believes to have told the window of its SYN in units of the scale, which may be
    // more than the buffer holds. It answers a byte that it has had, and so tells the real one.
    line.seq_number = position.receive - 1;
    let corrected = stage.play(&mut set, flow, &TcpRepr { payload: &[0], ..line });
    if corrected?.acknowledgement != position.receive
        || set.get_mut::<Socket<'_>>(handle).state() != state
    {
        return None;
    }
    connection.replace(set, handle);
    Some(tcp_frame(flow, &line, mac))
}

/// An empty segment.
const EMPTY: TcpRepr<'static> = TcpRepr {
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
fn syn(peer: &PeerOptions, irs: TcpSeqNumber, window: u16) -> TcpRepr<'static> {
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

impl<'a> Stage<'a> {
    /// An interface that is at `flow.local` and knows `flow.remote` as a neighbour, whose random
    /// numbers come from `seed`.
    fn new(flow: &Flow, capabilities: &'a DeviceCapabilities, seed: u64, now: Instant) -> Self {
        let mut config = Config::new(OWN_MAC.into());
        config.random_seed = seed;
        let mut caught = None;
        let mut phy = Phy::catch(capabilities, &mut caught, None);
        let mut interface = Interface::new(config, &mut phy, now);
        // With an empty prefix, everybody is a neighbour.
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(flow.local.addr, 0));
        });
        let mut stage = Self { interface, capabilities, caught: None, now };
        stage.hear(&mut SocketSet::new([]), introduction(flow).bytes());
        stage
    }

    /// Lets smoltcp receive a frame.
    fn hear(&mut self, set: &mut SocketSet<'static>, frame: &[u8]) {
        let mut phy = Phy::catch(self.capabilities, &mut self.caught, Some(frame));
        self.interface.poll_ingress_single(self.now, &mut phy, set);
    }

    /// Where the connection is: it is made to send something, whatever that is.
    fn position(&mut self, connection: &mut Connection) -> Option<Position> {
        let socket = connection.socket();
        socket.set_timeout(None);
        socket.set_keep_alive(Some(Duration::from_secs(1)));
        let tcp = self.prompt(&mut connection.set)?;
        // A keep-alive segment repeats a byte, anything else here is empty.
        Some(Position { send: tcp.sequence + tcp.payload, receive: tcp.acknowledgement })
    }

    /// Lets the socket of `set` hear a line of the peer. Returns its answer, if it has one.
    fn play(
        &mut self,
        set: &mut SocketSet<'static>,
        flow: &Flow,
        line: &TcpRepr<'_>,
    ) -> Option<Tcp> {
        self.hear(set, tcp_frame(flow, line, OWN_MAC).bytes());
        self.prompt(set)
    }

    /// Lets the socket of `set` say what it has to say. Returns its last line.
    fn prompt(&mut self, set: &mut SocketSet<'static>) -> Option<Tcp> {
        let mut phy = Phy::catch(self.capabilities, &mut self.caught, None);
        self.interface.poll_egress(self.now, &mut phy, set);
        let frame = self.caught.take()?;
        // smoltcp sends IPv4 without options, and IPv6 without extensions.
        let start = if u16_at(frame.bytes(), 12) == Some(ETHERTYPE_IPV4) { 34 } else { 54 };
        Tcp::parse(frame.bytes().get(start..)?)
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
            frame(OWN_MAC, EthernetProtocol::Arp, repr.buffer_len(), |payload| {
                repr.emit(&mut ArpPacket::new_unchecked(payload));
            })
        }
        (source @ IpAddress::Ipv6(from), target @ IpAddress::Ipv6(to)) => {
            let repr = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::OVERRIDE,
                target_addr: from,
                lladdr: Some(PEER_MAC.into()),
            });
            let ip = IpRepr::new(source, target, IpProtocol::Icmpv6, repr.buffer_len(), 255);
            ip_frame(&ip, OWN_MAC, |payload| {
                let sum = ChecksumCapabilities::default();
                repr.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(payload), &sum);
            })
        }
        _ => Caught::new(&[]),
    }
}

/// A segment from the peer.
fn tcp_frame(flow: &Flow, line: &TcpRepr<'_>, destination: EthernetAddress) -> Caught {
    let (source, target) = (flow.remote.addr, flow.local.addr);
    let line = TcpRepr { src_port: flow.remote.port, dst_port: flow.local.port, ..*line };
    let ip = IpRepr::new(source, target, IpProtocol::Tcp, line.buffer_len(), 64);
    ip_frame(&ip, destination, |payload| {
        let nothing = ChecksumCapabilities::ignored();
        line.emit(&mut TcpPacket::new_unchecked(payload), &source, &target, &nothing);
    })
}

fn ip_frame(ip: &IpRepr, destination: EthernetAddress, fill: impl FnOnce(&mut [u8])) -> Caught {
    let protocol = match ip {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    frame(destination, protocol, ip.buffer_len(), |packet| {
        ip.emit(&mut *packet, &ChecksumCapabilities::ignored());
        if let Some(payload) = packet.get_mut(ip.header_len()..) {
            fill(payload);
        }
    })
}

fn frame(
    destination: EthernetAddress,
    protocol: EthernetProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Caught {
    let mut caught = Caught { bytes: [0; MAX_CAUGHT], length: 14 + length };
    if let Some(start) = caught.bytes.get_mut(..14 + length) {
        let mut frame = EthernetFrame::new_unchecked(start);
        frame.set_src_addr(PEER_MAC);
        frame.set_dst_addr(destination);
        frame.set_ethertype(protocol);
        fill(frame.payload_mut());
    }
    caught
}

/// The seed with which the first sequence number that an interface of smoltcp 0.14 chooses is
/// `number`.
///
/// Its generator (`rand.rs`) multiplies the state by `M` and adds `A`, and gives out 32 bits of it
/// from a place that depends on the upper three. The first number that an interface takes is for
/// IPv4 identification, and is taken again while it is zero; the second one is the one in question.
fn seed_for(number: u32) -> u64 {
    const M: u64 = 0xbb2e_fcec_3c39_611d;
    const A: u64 = 0x7590_ef39;
    const BACK: u64 = inverse(M);
    let previous = |state: u64| state.wrapping_sub(A).wrapping_mul(BACK);
    let output = |state: u64| (state >> (29 - (state >> 61))) as u32;
    (0u64..)
        .map(|low| previous(u64::from(number) << 29 | low))
        .find(|&first| {
            let number = output(first);
            (number ^ (number >> 16)) as u16 != 0
        })
        .map_or(0, previous)
}

/// The number that multiplied by the odd number `of` gives 1, by Newton's iteration.
const fn inverse(of: u64) -> u64 {
    let mut inverse = of;
    let mut round = 0;
    while round < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(of.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::{TcpOptions, connection::Owner, window::STEP};

    fn link() -> DeviceCapabilities {
        let mut link = DeviceCapabilities::default();
        link.max_transmission_unit = 1514;
        link.checksum = ChecksumCapabilities::ignored();
        link
    }

    const FLOW: Flow = Flow {
        local: IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), 80),
        remote: IpEndpoint::new(IpAddress::v4(10, 0, 0, 2), 1000),
    };

    /// Plays a peer that connects, and fills a buffer of `size` bytes that the connection is given
    /// then, the end first and beyond it. Returns how many bytes the socket takes.
    fn fill(size: usize) -> usize {
        let (link, now) = (link(), Instant::from_secs(100));
        let options = TcpOptions::default();
        let mut connection = Connection::new(&options, 1460, Owner::Stream, now).unwrap();
        connection.peer.window_scale = Some(7);
        let irs = TcpSeqNumber(i32::MAX - 1000);
        let mut stage = Stage::new(&FLOW, &link, 1, now);
        connection.socket().listen(80).unwrap();
        let line = syn(&connection.peer, irs, 1000);
        let answer = stage.play(&mut connection.set, &FLOW, &line).unwrap();
        let ack_number = Some(answer.sequence + 1);
        let mut line = TcpRepr { seq_number: irs + 1, ack_number, window_len: 1000, ..EMPTY };
        stage.play(&mut connection.set, &FLOW, &line);
        rebuild(&mut connection, &FLOW, (size, 4096), (&link, OWN_MAC), now).unwrap();
        assert_eq!(connection.socket().recv_capacity(), size);
        // Longer ones cannot be played.
        let piece = &[7; 60];
        for at in [size - 30].into_iter().chain((0..size - 30).step_by(60)) {
            line = TcpRepr { seq_number: irs + 1 + at, payload: piece, ..line };
            stage.play(&mut connection.set, &FLOW, &line);
        }
        connection.socket().recv_queue()
    }

    #[test]
    fn nothing_is_taken_beyond_the_buffer() {
        for size in [2928, 65_535, 128_480, 259_888, 525_600, 1_048_560] {
            // Windows are told in steps, so the last few bytes may not find room.
            assert!((size - 2 * STEP..=size).contains(&fill(size)), "{size}");
        }
    }

    #[test]
    fn smoltcp_chooses_the_number_that_it_is_made_to() {
        let link = link();
        for number in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
            for local in [IpAddress::v4(10, 0, 0, 1), IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 1)] {
                let flow = Flow {
                    local: IpEndpoint::new(local, 80),
                    remote: IpEndpoint::new(
                        match local {
                            IpAddress::Ipv4(_) => IpAddress::v4(192, 168, 0, 1),
                            IpAddress::Ipv6(_) => IpAddress::v6(0x2001, 0, 0, 0, 0, 0, 0, 1),
                        },
                        1000,
                    ),
                };
                let (mut set, handle) = Connection::sockets(1000, 1000).unwrap();
                let seed = seed_for(number);
                let mut stage = Stage::new(&flow, &link, seed, Instant::from_secs(100));
                set.get_mut::<Socket<'_>>(handle).listen(80).unwrap();
                let line = syn(&PeerOptions::default(), TcpSeqNumber(7), 1000);
                let answer = stage.play(&mut set, &flow, &line).unwrap();
                assert_eq!(answer.sequence.0 as u32, number);
                assert_eq!(answer.acknowledgement, TcpSeqNumber(8));
            }
        }
    }
}
