//! Addresses: by DHCP, and what is told of them to others.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::Duration,
};

use mayfly::{
    net::{AddressKind, Error, NetConfig, Network, UdpSocket},
    spawn,
    time::{Instant, sleep, timeout},
};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        Icmpv4Packet, Icmpv4Repr, IpProtocol, IpRepr, Ipv4Packet, Ipv4Repr,
    },
};

use crate::{
    link::{Faults, Link},
    peer::Raw,
    support::{SERVER, pair, simulate, static_config},
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
