//! Names: a server that answers, one that does not, and none.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use mayfly::{
    net::{AddressKind, Error, NetConfig, Network, TcpListener, UdpSocket},
    spawn,
    time::timeout,
};

use crate::{
    link::{Faults, Link},
    support::{SERVER, ipv6_config, pair, serve_lines, simulate, static_config},
};

/// What `dns_server` knows: a name, the type of its addresses, and these.
const HOSTS: &[(&[u8], IpAddrs)] = &[
    (b"\x04host\x04test\0", IpAddrs::V4(&[[10, 0, 0, 5]])),
    (b"\x03two\x04test\0", IpAddrs::V4(&[[10, 0, 0, 5], [10, 0, 0, 1]])),
    (b"\x04both\x04test\0", IpAddrs::V4(&[[10, 0, 0, 5]])),
    (b"\x04both\x04test\0", IpAddrs::V6(&[SERVER_V6])),
    (b"\x03six\x04test\0", IpAddrs::V6(&[SERVER_V6])),
];
const SERVER_V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

#[derive(Clone, Copy)]
enum IpAddrs {
    V4(&'static [[u8; 4]]),
    V6(&'static [[u8; 16]]),
}

impl IpAddrs {
    /// The type of the record (RFC 1035 section 3.2.2, RFC 3596 section 2.1), and the data of each.
    fn records(self) -> (u8, Vec<&'static [u8]>) {
        match self {
            Self::V4(addresses) => (1, addresses.iter().map(<[u8; 4]>::as_slice).collect()),
            Self::V6(addresses) => (28, addresses.iter().map(<[u8; 16]>::as_slice).collect()),
        }
    }
}

/// Answers queries for the addresses of [`HOSTS`], and everything else with NXDOMAIN; does not answer
/// for names that begin with `silent`.
pub async fn dns_server(network: Network) {
    let socket = UdpSocket::bind(&network, 53).await.unwrap();
    loop {
        let datagram = socket.recv().await.unwrap();
        let query = datagram.payload();
        if query[12..].starts_with(b"\x06silent") {
            continue;
        }
        let records = HOSTS.iter().find_map(|(name, addresses)| {
            let (kind, records) = addresses.records();
            let rest = query[12..].strip_prefix(*name)?;
            (rest == [0, kind, 0, 1]).then_some((kind, records))
        });
        let mut answer = query.to_vec();
        answer[2] |= 0x80;
        let (kind, records) = records.unwrap_or_default();
        answer[3] |= if records.is_empty() { 3 } else { 0 };
        answer[7] = records.len() as u8;
        for record in records {
            answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, record.len() as u8]);
            answer.extend(record);
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

/// 10.0.0.5 does not exist; 10.0.0.1 and fd00::1 serve.
#[test]
fn all_addresses_of_a_name_are_tried() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let both = |last: u8| NetConfig { ipv6: ipv6_config(last.into()), ..static_config(last) };
        let server = Network::start(a.boxed(), both(1));
        spawn(dns_server(server.clone())).detach();
        serve_lines(TcpListener::bind(&server, 7).await.unwrap());
        let config = NetConfig { name_servers: vec![SERVER], ..both(2) };
        let network = Network::start(b.boxed(), config);
        let v6 = IpAddr::V6(Ipv6Addr::from(SERVER_V6));
        let literal = v6.to_string();
        for (name, peer) in
            [("two.test", SERVER), ("both.test", v6), ("six.test", v6), (&literal, v6)]
        {
            let mut stream = network.connect(name, 7).await.unwrap();
            let tcp = stream.tcp().unwrap();
            assert_eq!(tcp.peer(), Some(SocketAddr::new(peer, 7)), "{name}");
            stream.write_all(b"hello").await.unwrap();
            assert_eq!(stream.read(&mut [0; 8]).await, Ok(5), "{name}");
        }
        let refused = network.connect("both.test", 8).await.map(drop);
        assert!(matches!(refused, Err(mayfly::Error::Net(Error::Refused))), "{refused:?}");
        let alone = network.connect("host.test", 7).await.map(drop);
        assert!(matches!(alone, Err(mayfly::Error::Net(Error::TimedOut))), "{alone:?}");
        let none = network.connect("other.test", 7).await.map(drop);
        assert!(matches!(none, Err(mayfly::Error::Net(Error::NameNotFound))), "{none:?}");
    });
}
