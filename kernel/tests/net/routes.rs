//! What is for other networks goes through the gateway.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use mayfly::net::{
    Error, Ipv4Config, Ipv6Config, NetConfig, Network, TcpListener, TcpStream, UdpSocket,
};

use crate::{
    link::{Faults, Link},
    support::{ipv6_config, serve_lines, simulate},
};

/// The address of the router on the link, and one that it has elsewhere.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const FAR: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 9);

fn far(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(FAR), port)
}

/// A router, and a client beside it, which may know of it.
fn router_and_client(gateway: Option<Ipv6Addr>) -> (Link, Network, Network) {
    let (link, a, b) = Link::new(Faults::default(), 1);
    let config =
        |seed, ipv6| NetConfig { ipv4: Ipv4Config::Off, ipv6, seed, ..NetConfig::default() };
    let mut router = ipv6_config(1);
    router.addresses.push((FAR, 64));
    let client = Ipv6Config { gateway, ..ipv6_config(2) };
    let router = Network::start(a.boxed(), config(1, router));
    (link, router, Network::start(b.boxed(), config(2, client)))
}

#[test]
fn a_gateway_leads_to_other_networks() {
    simulate(async {
        let (_link, router, client) = router_and_client(Some(ROUTER));
        serve_lines(TcpListener::bind(&router, 80).await.unwrap());
        let mut stream = TcpStream::connect(&client, far(80)).await.unwrap();
        stream.write_all(b"by TCP\n").await.unwrap();
        let mut buffer = [0; 32];
        let length = stream.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"by TCP\n");

        let there = UdpSocket::bind(&router, 7).await.unwrap();
        let here = UdpSocket::bind(&client, 0).await.unwrap();
        here.send_to(b"by UDP", far(7)).await.unwrap();
        let datagram = there.recv().await.unwrap();
        assert_eq!((datagram.local(), datagram.payload()), (FAR.into(), &b"by UDP"[..]));
        there.reply(&datagram, b"and back").await.unwrap();
        assert_eq!(here.recv_from(&mut buffer).await, Ok((8, far(7))));
    });
}

#[test]
fn without_a_gateway_other_networks_are_out_of_reach() {
    simulate(async {
        let (_link, _router, client) = router_and_client(None);
        let error = TcpStream::connect(&client, far(80)).await.err();
        assert_eq!(error, Some(Error::Unreachable));
        let socket = UdpSocket::bind(&client, 0).await.unwrap();
        assert_eq!(socket.send_to(b"lost", far(7)).await, Err(Error::Unreachable));
    });
}
