//! A device that is connected with its link anew, as a guest's that has moved to another machine.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use mayfly::{
    net::{Ipv6Config, NetConfig, Network},
    time::timeout,
};

use crate::{
    link::{Faults, Link},
    peer::Raw,
    support::{simulate, static_config},
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
                assert!(seen.insert(announced(&frame).unwrap()));
            }
            let wanted = ["10.0.0.1", "fd00", "fe80"].map(String::from);
            assert_eq!(seen, BTreeSet::from(wanted));
        }
    });
}
