//! Neighbours that answer, beside some that nobody has.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use mayfly::{
    net::{AddressKind, Error, NetConfig, Network, TcpListener, TcpStream, UdpSocket},
    spawn,
    time::{Instant, sleep, timeout},
};

use crate::{
    addresses::arp_answer,
    link::{Faults, Link},
    names::dns_server,
    peer::Raw,
    support::{SERVER, pair, serve_lines, server, simulate, static_config},
};

/// An address that nobody has.
fn nobody(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)), 7)
}

/// Has connections to so many addresses that nobody has under way.
fn call_nobody(network: &Network, count: u8) {
    for last in 5..5 + count {
        let network = network.clone();
        spawn(async move {
            while let Err(error) = TcpStream::connect(&network, nobody(last)).await {
                assert_eq!(error, Error::TimedOut);
            }
        })
        .detach();
    }
}

#[test]
fn an_address_that_nobody_has_keeps_no_one_waiting() {
    simulate(async {
        let (_link, a, b) = pair(Faults::default(), 1);
        serve_lines(TcpListener::bind(&a, 7).await.unwrap());
        call_nobody(&b, 3);
        // Longer than addresses are known.
        for _ in 0..4 {
            sleep(Duration::from_millis(71_234)).await;
            let since = Instant::now();
            TcpStream::connect(&b, server(7)).await.unwrap();
            assert!(since.elapsed() < Duration::from_millis(10), "{:?}", since.elapsed());
        }
    });
}

#[test]
fn names_are_resolved_meanwhile() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        spawn(dns_server(Network::start(a.boxed(), static_config(1)))).detach();
        let config = NetConfig { name_servers: vec![SERVER], ..static_config(2) };
        let network = Network::start(b.boxed(), config);
        call_nobody(&network, 3);
        sleep(Duration::from_millis(5_432)).await;
        let since = Instant::now();
        network.resolve("host.test", AddressKind::V4).await.unwrap();
        assert!(since.elapsed() < Duration::from_millis(10), "{:?}", since.elapsed());
    });
}

/// Peers may be invented, as those of half-open connections.
#[test]
fn not_everybody_is_asked_for_at_once() {
    simulate(async {
        let (_link, _a, b) = pair(Faults::default(), 1);
        call_nobody(&b, 200);
        sleep(Duration::from_millis(900)).await;
        assert!((2..=20).contains(&b.stats().sent_frames), "{:?}", b.stats());
    });
}

#[test]
fn a_connection_that_nobody_answered_is_gone_at_once() {
    simulate(async {
        let (_link, _a, b) = pair(Faults::default(), 1);
        let connecting = TcpStream::connect(&b, nobody(5));
        assert!(timeout(Duration::from_secs(5), connecting).await.is_err());
        assert_eq!(b.stats().connections, 0);
        assert_eq!(TcpStream::connect(&b, nobody(5)).await.map(drop), Err(Error::TimedOut));
        assert_eq!(b.stats().connections, 0);
        let frames = b.stats().sent_frames;
        sleep(Duration::from_secs(5)).await;
        let asked = b.stats().sent_frames - frames;
        // Questions that were under way may be repeated.
        assert!(asked <= 2, "{asked}");
    });
}

/// A question of 10.0.0.LAST about 10.0.0.2, which says where the former is.
fn question(last: u8) -> Vec<u8> {
    let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, last];
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([2, 0, 0, 0, 0, last, 10, 0, 0, last, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    frame
}

/// As many neighbours as are remembered, and more.
const MANY: std::ops::Range<u8> = 100..200;

#[test]
fn an_answer_is_heard_however_many_ask_meanwhile() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut peer = Raw(a);
        let network = Network::start(b.boxed(), static_config(2));
        MANY.for_each(|last| peer.send(&question(last)));
        sleep(Duration::from_millis(10)).await;
        let socket = UdpSocket::bind(&network, 0).await.unwrap();
        socket.send_to(b"hello", server(7)).await.unwrap();
        let request = loop {
            let frame = peer.receive_of([8, 6]).await;
            if frame[38..42] == [10, 0, 0, 1] {
                break frame;
            }
        };
        MANY.for_each(|last| peer.send(&question(last)));
        peer.send(&arp_answer(&request, 1));
        let datagram = timeout(Duration::from_secs(1), peer.receive_of([8, 0])).await.unwrap();
        assert_eq!(datagram[42..47], *b"hello");
        assert_eq!(network.stats().unsent_frames, 0);
    });
}

#[test]
fn nothing_waits_for_an_answer_to_a_question_that_was_forgotten() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let mut peer = Raw(a);
        let network = Network::start(b.boxed(), static_config(2));
        let socket = UdpSocket::bind(&network, 0).await.unwrap();
        socket.send_to(b"", nobody(99)).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        // The first of 65 questions makes room for the last. One more datagram waits for its answer,
        // because the one before has made room for others.
        let last = MANY.start + 63;
        for last in (MANY.start..last).chain([99, last]) {
            socket.send_to(b"", nobody(last)).await.unwrap();
        }
        sleep(Duration::from_secs(10)).await;
        assert_eq!(network.stats().unsent_frames, 66);
        // Nor is it sent when the address is known at last.
        link.inject(1, &question(99));
        assert!(timeout(Duration::from_secs(1), peer.receive_of([8, 0])).await.is_err());
    });
}
