//! Names: a server that answers, one that does not, and none.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use mayfly::{
    net::{AddressKind, Error, NetConfig, Network, UdpSocket},
    spawn,
    time::timeout,
};

use crate::{
    link::{Faults, Link},
    support::{SERVER, pair, simulate, static_config},
};

/// Answers A queries for `host.test` with 10.0.0.5 and everything else with NXDOMAIN; does not
/// answer for names that begin with an `s`.
pub async fn dns_server(network: Network) {
    let socket = UdpSocket::bind(&network, 53).await.unwrap();
    loop {
        let datagram = socket.recv().await.unwrap();
        let query = datagram.payload();
        if query[13] == b's' {
            continue;
        }
        let is_known = query[12..].starts_with(b"\x04host\x04test\0\0\x01");
        let mut answer = query.to_vec();
        answer[2] |= 0x80;
        if is_known {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 5]);
        } else {
            answer[3] |= 3;
        }
        socket.reply(&datagram, &answer).await.unwrap();
    }
}

#[test]
fn names_are_resolved() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let server = Network::start(a.boxed(), static_config(1));
        spawn(dns_server(server)).detach();
        let config = NetConfig { name_servers: vec![SERVER], ..static_config(2) };
        let network = Network::start(b.boxed(), config);
        let host = network.resolve("host.test", AddressKind::V4).await;
        assert_eq!(host, Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5))]));
        let literal = network.resolve("10.1.2.3", AddressKind::V4).await;
        assert_eq!(literal, Ok(vec![IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))]));
        let kind = AddressKind::V4;
        assert_eq!(network.resolve("other.test", kind).await, Err(Error::NameNotFound));
        assert_eq!(network.resolve("", kind).await, Err(Error::InvalidName));
        assert_eq!(network.resolve("a..b", kind).await, Err(Error::InvalidName));
        assert_eq!(network.resolve(&"a.".repeat(200), kind).await, Err(Error::InvalidName));
        assert_eq!(network.resolve("silent.test", kind).await, Err(Error::TimedOut));
        // Cancelled queries do not count.
        for _ in 0..100 {
            let query = network.resolve("silent.test", kind);
            assert!(timeout(Duration::from_millis(1), query).await.is_err());
        }
        assert!(network.resolve("host.test", kind).await.is_ok());
    });
}

#[test]
fn without_a_name_server_there_are_no_names() {
    simulate(async {
        let (_link, a, _b) = pair(Faults::default(), 1);
        let host = a.resolve("host.test", AddressKind::V4).await;
        assert_eq!(host, Err(Error::NoNameServer));
    });
}
