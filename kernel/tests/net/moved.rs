//! A device whose link goes and comes back, and may be another one then, as a guest's that has moved
//! to another machine.

use std::{
    cell::Cell,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::Duration,
};

use mayfly::{
    net::{Error, Ipv6Config, NetConfig, Network, TcpListener, TcpStream},
    spawn,
    time::{Instant, sleep, timeout},
};
use mayfly_device::LinkChange;

use crate::{
    addresses::dhcp_server_of,
    link::{Faults, Link},
    peer::Raw,
    support::{pair, serve_lines, server, simulate, static_config},
};

/// What is said of an address: who tells, and whether that is by ARP or by neighbour discovery.
fn announced(frame: &[u8]) -> Option<String> {
    match (&frame[12..14], frame) {
        // ARP: a question of an address for itself, to all.
        ([8, 6], frame) if frame[..6] == [0xff; 6] && frame[28..32] == frame[38..42] => {
            Some(Ipv4Addr::new(frame[28], frame[29], frame[30], frame[31]).to_string())
        }
        // An advertisement that overrides what others know, with the Ethernet address, to all.
        ([0x86, 0xdd], frame) if frame[54] == 136 => {
            assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
            assert_eq!((frame[58], frame[21]), (0x20, 255));
            assert_eq!(frame[22..38], frame[62..78]);
            assert_eq!((frame[78], &frame[80..86]), (2, &frame[6..12]));
            Some(format!("{:02x}{:02x}", frame[22], frame[23]))
        }
        _ => None,
    }
}

#[test]
fn the_link_is_told_where_all_addresses_are() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let fixed = "fd00::1".parse().unwrap();
        let ipv6 = Ipv6Config { addresses: vec![(fixed, 64)], ..Ipv6Config::default() };
        let _network = Network::start(a.boxed(), NetConfig { ipv6, ..static_config(1) });
        let mut raw = Raw(b);
        // What is said at the beginning.
        while timeout(Duration::from_secs(60), raw.receive()).await.is_ok() {}
        for _ in 0..2 {
            link.move_end(0);
            let mut seen = BTreeSet::new();
            while let Ok(frame) = timeout(Duration::from_secs(1), raw.receive()).await {
                // Routers are asked for, too.
                let is_solicitation = frame[12..14] == [0x86, 0xdd] && frame[54] == 133;
                let seen_now = if is_solicitation { None } else { announced(&frame) };
                assert!(seen.insert(seen_now.unwrap_or("a router".into())));
            }
            let wanted = ["10.0.0.1", "a router", "fd00", "fe80"].map(String::from);
            assert_eq!(seen, BTreeSet::from(wanted));
        }
    });
}

#[test]
fn what_is_to_be_sent_waits_for_the_link() {
    simulate(async {
        let (link, a, b) = pair(Faults::default(), 1);
        serve_lines(TcpListener::bind(&b, 80).await.unwrap());
        let to = (b.addresses()[0].0, 80).into();
        let mut stream = TcpStream::connect(&a, to).await.unwrap();
        sleep(Duration::from_secs(30)).await;
        assert!(a.is_link_up());
        link.change(0, LinkChange::Down);
        a.wait_link(false).await.unwrap();
        assert!(!a.is_link_up());
        let (sent, lost) = (link.sent_by(0), a.stats().unsent_frames);
        stream.write_all(b"a line\n").await.unwrap();
        sleep(Duration::from_secs(20)).await;
        assert_eq!((link.sent_by(0), a.stats().unsent_frames), (sent, lost));
        link.change(0, LinkChange::Up);
        a.wait_link(true).await.unwrap();
        let mut buffer = [0; 7];
        // At once, and not when a timer of TCP would have it sent again.
        let answer = timeout(Duration::from_millis(10), stream.read(&mut buffer)).await;
        assert_eq!((answer, &buffer), (Ok(Ok(7)), b"a line\n"));
        link.cut();
        assert_eq!(a.wait_link(false).await, Err(Error::DeviceGone));
        assert!(!a.is_link_up());
    });
}

#[test]
fn nobody_waits_for_the_link_for_longer_than_for_a_peer() {
    simulate(async {
        let (link, _a, b) = pair(Faults::default(), 1);
        link.change(1, LinkChange::Down);
        let start = Instant::now();
        assert_eq!(TcpStream::connect(&b, server(80)).await.map(drop), Err(Error::TimedOut));
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(b.stats().connections, 0);
    });
}

#[test]
fn a_link_that_is_back_may_be_that_of_another_network() {
    simulate(async {
        let (link, a, b) = Link::new(Faults::default(), 1);
        let host = Network::start(a.boxed(), static_config(1));
        let (requests, last) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(99)));
        spawn(dhcp_server_of(host.clone(), 1000, Rc::clone(&requests), Rc::clone(&last))).detach();
        serve_lines(TcpListener::bind(&host, 80).await.unwrap());
        let client = Network::start(b.boxed(), NetConfig { seed: 5, ..NetConfig::default() });
        client.wait_configured().await.unwrap();
        let has = |last| {
            let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
            client.addresses().iter().any(|own| own.0 == address)
        };
        let mut stream = TcpStream::connect(&client, server(80)).await.unwrap();
        let asked = requests.get();
        // The same: nothing changes, and connections go on.
        for round in 1..=2 {
            link.change(1, LinkChange::Down);
            sleep(Duration::from_secs(1)).await;
            link.change(1, LinkChange::Up);
            assert!(timeout(Duration::from_secs(5), client.changed()).await.is_err());
            assert_eq!(requests.get(), asked + round);
            stream.write_all(b"a line\n").await.unwrap();
            assert_eq!(stream.read(&mut [0; 7]).await, Ok(7));
        }
        // Another one.
        last.set(77);
        link.move_end(1);
        while has(99) || !has(77) {
            timeout(Duration::from_secs(5), client.changed()).await.unwrap().unwrap();
        }
        // It is renewed as usual.
        let asked = requests.get();
        sleep(Duration::from_secs(600)).await;
        assert!(requests.get() > asked && has(77));
        // Nobody answers there. The address stays as long as it was given.
        link.set_faults(Faults { loss: 1000, ..Faults::default() });
        for _ in 0..3 {
            link.move_end(1);
            assert!(timeout(Duration::from_secs(60), client.changed()).await.is_err());
        }
        timeout(Duration::from_secs(1000), client.changed()).await.unwrap().unwrap();
        assert!(!has(77));
        // Somebody does at last.
        link.set_faults(Faults::default());
        timeout(Duration::from_secs(120), client.changed()).await.unwrap().unwrap();
        assert!(has(77));
    });
}
