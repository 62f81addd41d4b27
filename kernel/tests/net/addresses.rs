//! Addresses: by DHCP, by routers, and what is told of them to others.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    rc::Rc,
    time::Duration,
};

use mayfly::{
    net::{AddressKind, Error, Ipv4Config, NetConfig, Network, UdpSocket},
    spawn,
    time::{Instant, sleep, timeout},
};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpProtocol, IpRepr, Ipv4Packet,
        Ipv4Repr, Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr,
        NdiscRouterFlags,
    },
};

use crate::{
    link::{Faults, Link},
    peer::Raw,
    support::{SERVER, pair, simulate, simulate_for, static_config},
};

/// Hands out 10.0.0.99 and counts what clients ask for.
pub async fn dhcp_server(network: Network, lease: u32, requests: Rc<Cell<u32>>) {
    dhcp_server_of(network, lease, requests, Rc::new(Cell::new(99))).await;
}

/// Hands out the address that ends so.
pub async fn dhcp_server_of(
    network: Network,
    lease: u32,
    requests: Rc<Cell<u32>>,
    last: Rc<Cell<u8>>,
) {
    let socket = UdpSocket::bind(&network, 67).await.unwrap();
    loop {
        let datagram = socket.recv().await.unwrap();
        let packet = DhcpPacket::new_checked(datagram.payload()).unwrap();
        let request = DhcpRepr::parse(&packet).unwrap();
        let message_type = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => {
                requests.set(requests.get() + 1);
                DhcpMessageType::Ack
            }
            _ => continue,
        };
        let server = Ipv4Addr::new(10, 0, 0, 1);
        let reply = DhcpRepr {
            message_type,
            transaction_id: request.transaction_id,
            secs: 0,
            client_hardware_address: request.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::new(10, 0, 0, last.get()),
            server_ip: server,
            router: Some(Ipv4Addr::new(10, 0, 0, 254)),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: true,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(server),
            parameter_request_list: None,
            dns_servers: Some([Ipv4Addr::new(10, 0, 0, 53)].into_iter().collect()),
            max_size: None,
            renew_duration: None,
            rebind_duration: None,
            lease_duration: Some(lease),
            additional_options: &[],
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
        socket.send_to(&bytes, "255.255.255.255:68".parse().unwrap()).await.unwrap();
    }
}

#[test]
fn dhcp_gives_an_address_and_renews_it() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let server = Network::start(a.boxed(), static_config(1));
        let requests = Rc::new(Cell::new(0));
        spawn(dhcp_server(server, 1000, requests.clone())).detach();
        let client = Network::start(b.boxed(), NetConfig { seed: 5, ..NetConfig::default() });
        timeout(Duration::from_secs(1), client.wait_configured()).await.unwrap().unwrap();
        let address = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99)), 24);
        assert!(client.addresses().contains(&address));
        assert_eq!(client.gateways(), [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254))]);
        assert_eq!(client.name_servers(), [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 53))]);
        assert_eq!(requests.get(), 1);
        sleep(Duration::from_secs(2000)).await;
        assert!(requests.get() >= 3, "the lease was not renewed");
        assert!(client.addresses().contains(&address));
        // The server goes away, and with it the lease.
        link.set_faults(Faults { loss: 1000, ..Faults::default() });
        let before = Instant::now();
        client.changed().await.unwrap();
        assert!(!client.addresses().contains(&address));
        assert!(before.elapsed() <= Duration::from_secs(1000));
        assert_eq!((client.gateways(), client.name_servers()), (vec![], vec![]));
    });
}

#[test]
fn dhcp_goes_on_asking() {
    simulate(async {
        let (link, a, b) = Link::new(Faults { loss: 400, ..Faults::default() }, 3);
        let server = Network::start(a.boxed(), static_config(1));
        let client = Network::start(b.boxed(), NetConfig { seed: 5, ..NetConfig::default() });
        assert!(timeout(Duration::from_secs(60), client.wait_configured()).await.is_err());
        assert!(link.sent_by(1) > 5);
        spawn(dhcp_server(server, 1000, Rc::default())).detach();
        timeout(Duration::from_secs(120), client.wait_configured()).await.unwrap().unwrap();
    });
}

pub fn router_advertisement(
    router: Ipv6Addr,
    prefix: Ipv6Addr,
    lifetime: u16,
    valid: u32,
    hop_limit: u8,
) -> Vec<u8> {
    advertisement(router, prefix, lifetime, (valid, valid), hop_limit)
}

/// The same, with the lifetime for which the prefix is valid, and that for which it is preferred.
fn advertisement(
    router: Ipv6Addr,
    prefix: Ipv6Addr,
    lifetime: u16,
    (valid, preferred): (u32, u32),
    hop_limit: u8,
) -> Vec<u8> {
    let source = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let repr = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: smoltcp::time::Duration::from_secs(lifetime.into()),
        reachable_time: smoltcp::time::Duration::ZERO,
        retrans_time: smoltcp::time::Duration::ZERO,
        lladdr: Some(EthernetAddress([2, 0, 0, 0, 0, 1]).into()),
        mtu: None,
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ADDRCONF | NdiscPrefixInfoFlags::ON_LINK,
            valid_lifetime: smoltcp::time::Duration::from_secs(valid.into()),
            preferred_lifetime: smoltcp::time::Duration::from_secs(preferred.into()),
            prefix,
        }),
    });
    icmpv6(router, source, hop_limit, &repr)
}

fn icmpv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    repr: &Icmpv6Repr<'_>,
) -> Vec<u8> {
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: repr.buffer_len(),
        hop_limit,
    };
    let mut bytes = vec![0; 54 + repr.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 1]));
    let [.., a, b, c, d] = destination.octets();
    let group =
        if destination.is_multicast() { [0x33, 0x33, a, b, c, d] } else { [2, 0, 0, 0, 0, 2] };
    frame.set_dst_addr(EthernetAddress(group));
    frame.set_ethertype(EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet);
    repr.emit(
        &source,
        &destination,
        &mut Icmpv6Packet::new_unchecked(packet.payload_mut()),
        &ChecksumCapabilities::default(),
    );
    bytes
}

fn ipv6_only() -> NetConfig {
    NetConfig { ipv4: Ipv4Config::Off, seed: 9, ..NetConfig::default() }
}

#[test]
fn routers_advertise_addresses() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut router = Raw(a);
        let network = Network::start(b.boxed(), ipv6_only());
        network.wait_configured().await.unwrap();
        let link_local: IpAddr = "fe80::ff:fe00:2".parse().unwrap();
        assert_eq!(network.addresses(), [(link_local, 64)]);
        // It asks for routers by itself.
        let frame = router.receive().await;
        assert_eq!((frame[12], frame[13], frame[54]), (0x86, 0xdd, 133));
        let me: Ipv6Addr = "fe80::1".parse().unwrap();
        let prefix: Ipv6Addr = "2001:db8:1::".parse().unwrap();
        // From beyond a router, from no link-local address, with a prefix that is none: nothing.
        router.send(&router_advertisement(me, prefix, 600, 1200, 64));
        router.send(&router_advertisement(prefix, prefix, 600, 1200, 255));
        for bad in ["ff02::", "fe80::", "::1", "::"] {
            router.send(&router_advertisement(me, bad.parse().unwrap(), 0, 3600, 255));
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(network.addresses().len(), 1);
        router.send(&router_advertisement(me, prefix, 600, 1200, 255));
        network.changed().await.unwrap();
        let global: IpAddr = "2001:db8:1::ff:fe00:2".parse().unwrap();
        assert_eq!(network.addresses(), [(link_local, 64), (global, 64)]);
        assert_eq!(network.gateways(), [IpAddr::V6(me)]);
        // The router expires first, then the prefix.
        let start = Instant::now();
        network.changed().await.unwrap();
        assert_eq!(network.gateways(), [] as [IpAddr; 0]);
        assert!(start.elapsed().as_secs().abs_diff(600) <= 1);
        network.changed().await.unwrap();
        assert_eq!(network.addresses(), [(link_local, 64)]);
        assert!(start.elapsed().as_secs().abs_diff(1200) <= 1);
    });
}

/// An address that is advertised with each of these lifetimes, so many seconds after the beginning,
/// lasts until then.
fn lasts(advertised: &[(u64, (u32, u32))], until: u64) {
    let advertised = advertised.to_vec();
    simulate_for(48, async move {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut router = Raw(a);
        let network = Network::start(b.boxed(), ipv6_only());
        let (me, prefix) = ("fe80::1".parse().unwrap(), "2001:db8:1::".parse().unwrap());
        let global: IpAddr = "2001:db8:1::ff:fe00:2".parse().unwrap();
        let has = || network.addresses().contains(&(global, 64));
        let start = Instant::now();
        for (at, lifetimes) in advertised {
            sleep(Duration::from_secs(at).saturating_sub(start.elapsed())).await;
            assert_eq!(has(), at > 0, "after {at} s");
            router.send(&advertisement(me, prefix, 0, lifetimes, 255));
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_secs(until - 1).saturating_sub(start.elapsed())).await;
        assert_eq!(has(), until > 1, "a second before its end");
        sleep(Duration::from_secs(2)).await;
        assert!(!has(), "a second after its end");
    });
}

#[test]
fn no_router_ends_an_address_within_two_hours() {
    let day = (0, (86_400, 86_400));
    lasts(&[day], 86_400);
    // What remains is cut to two hours, and then no more, as often as that is tried.
    for short in [0, 1, 7200] {
        lasts(&[day, (10, (short, 0))], 7210);
        lasts(&[day, (10, (short, 0)), (3000, (1, 1)), (7000, (0, 0))], 7210);
    }
    // What is shorter anyway is not cut, and may be prolonged.
    lasts(&[(0, (600, 600)), (10, (0, 0))], 600);
    lasts(&[(0, (600, 600)), (10, (580, 580))], 600);
    lasts(&[(0, (600, 600)), (10, (700, 700))], 710);
    // More than two hours holds as it is.
    lasts(&[day, (10, (7300, 7300))], 7310);
}

#[test]
fn a_prefix_is_not_preferred_for_longer_than_it_is_valid() {
    lasts(&[(0, (600, 601))], 1);
    lasts(&[(0, (600, 600)), (10, (800, 801))], 600);
}

#[test]
fn a_flood_of_advertisements_is_bounded() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut router = Raw(a);
        let network = Network::start(b.boxed(), ipv6_only());
        for number in 1..500 {
            let me = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
            let prefix = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0);
            router.send(&router_advertisement(me, prefix, 1800, u32::MAX, 255));
            sleep(Duration::from_millis(1)).await;
        }
        assert!(network.addresses().len() <= 4);
        assert_eq!(network.gateways().len(), 1);
    });
}

/// A frame from 10.0.0.1 to 10.0.0.2.
fn icmpv4(destination: [u8; 6], repr: &Icmpv4Repr<'_>) -> Vec<u8> {
    let ip = IpRepr::Ipv4(Ipv4Repr {
        src_addr: Ipv4Addr::new(10, 0, 0, 1),
        dst_addr: Ipv4Addr::new(10, 0, 0, 2),
        next_header: IpProtocol::Icmp,
        payload_len: repr.buffer_len(),
        hop_limit: 64,
    });
    let mut bytes = vec![0; 14 + ip.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 1]));
    frame.set_dst_addr(EthernetAddress(destination));
    frame.set_ethertype(EthernetProtocol::Ipv4);
    ip.emit(frame.payload_mut(), &ChecksumCapabilities::default());
    let mut icmp = Icmpv4Packet::new_unchecked(&mut bytes[34..]);
    repr.emit(&mut icmp, &ChecksumCapabilities::default());
    bytes
}

/// The answer of 02:00:00:00:00:LAST to an ARP request for its address.
pub fn arp_answer(request: &[u8], last: u8) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[..6].copy_from_slice(&request[6..12]);
    answer[6..12].copy_from_slice(&[2, 0, 0, 0, 0, last]);
    answer[21] = 2;
    answer[22..28].copy_from_slice(&[2, 0, 0, 0, 0, last]);
    answer[28..32].copy_from_slice(&request[38..42]);
    answer[32..42].copy_from_slice(&request[22..32]);
    answer
}

#[test]
fn pings_are_answered() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut peer = Raw(a);
        let network = Network::start(b.boxed(), static_config(2));
        let data = [7; 1000];
        let ping = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: &data };
        let ping = icmpv4(network.mac(), &ping);
        let announcement = peer.receive_of([8, 6]).await;
        assert_eq!(announcement[38..42], [10, 0, 0, 2]);
        // Our side must know the way back: answer its ARP request.
        peer.send(&ping);
        let request = peer.receive_of([8, 6]).await;
        peer.send(&arp_answer(&request, 1));
        sleep(Duration::from_millis(1)).await;
        peer.send(&ping);
        let reply = peer.receive_of([8, 0]).await;
        let packet = Ipv4Packet::new_checked(&reply[14..]).unwrap();
        assert!(packet.verify_checksum());
        let icmp = Icmpv4Packet::new_checked(packet.payload()).unwrap();
        let repr = Icmpv4Repr::parse(&icmp, &ChecksumCapabilities::default()).unwrap();
        assert_eq!(repr, Icmpv4Repr::EchoReply { ident: 1, seq_no: 2, data: &data });
        assert!(network.stats().sent_frames >= 2);
    });
}

#[test]
fn a_device_that_goes_takes_everything_with_it() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let server = Network::start(a.boxed(), static_config(1));
        let config = NetConfig { name_servers: vec![SERVER], ..static_config(2) };
        let network = Network::start(b.boxed(), config);
        let query = spawn({
            let network = network.clone();
            async move { network.resolve("silent.test", AddressKind::V4).await }
        });
        let receiver = UdpSocket::bind(&network, 5).await.unwrap();
        let receive = spawn(async move { receiver.recv().await.map(drop) });
        let mut listener = mayfly::net::TcpListener::bind(&network, 80).await.unwrap();
        let accept = spawn(async move { listener.accept().await.map(drop) });
        let change = spawn({
            let network = network.clone();
            async move { network.changed().await }
        });
        sleep(Duration::from_millis(10)).await;
        link.cut();
        assert_eq!(query.await.unwrap(), Err(Error::DeviceGone));
        assert_eq!(receive.await.unwrap(), Err(Error::DeviceGone));
        assert_eq!(accept.await.unwrap(), Err(Error::DeviceGone));
        assert_eq!(change.await.unwrap(), Err(Error::DeviceGone));
        drop(server);
    });
}

#[test]
fn an_idle_network_does_not_wake_up() {
    simulate(async {
        let (_link, a, _b) = pair(Faults::default(), 1);
        sleep(Duration::from_secs(60)).await;
        let before = a.stats().runs;
        sleep(Duration::from_secs(3000)).await;
        assert_eq!(a.stats().runs, before);
    });
}

#[test]
fn an_address_is_announced() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let _network = Network::start(a.boxed(), static_config(1));
        let frame = Raw(b).receive_of([8, 6]).await;
        // To all, a request, from the address about itself.
        assert_eq!(frame[..12], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1]);
        assert_eq!(frame[20..32], [0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        assert_eq!(frame[32..42], [0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
    });
}
