//! Requests for connections, many and damaged.

use std::{thread, time::Duration};

use mayfly::{
    net::{Network, TcpListener, TcpOptions},
    time::sleep,
};

use crate::{
    hostile::repair,
    link::{Faults, Link},
    peer::Raw,
    support::{simulate, static_config},
};

pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
const BACKLOG: u16 = 128;
/// Bytes of stack, as on the small side of what a guest has, with the test's own frames on it.
const STACK: usize = 128 * 1024;

/// A segment from 10.0.0.2 to port 80 of 10.0.0.1, with one option: the first, or the second.
pub fn segment(port: u16, flags: u8, option: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    frame.extend(port.to_be_bytes());
    let sequence = u8::from(flags != SYN);
    frame.extend([0, 80, 0, 0, 0, sequence, 0, 0, 0, 0, 0x60, flags, 4, 0, 0, 0, 0, 0]);
    frame.extend(option);
    repair(&mut frame);
    frame
}

/// Fills the backlog with handshakes and the queue behind it with requests that come to nothing,
/// and then makes room for one.
fn flood() {
    const GOOD: [u8; 4] = [2, 4, 5, 180];
    const DAMAGED: [u8; 4] = [2, 3, 5, 1];
    simulate(async {
        let (_link, a, b) = Link::new(Faults { ring: 4096, ..Faults::default() }, 1);
        let network = Network::start(a.boxed(), static_config(1));
        let options = TcpOptions::default();
        let mut listener =
            TcpListener::bind_with(&network, 80, BACKLOG.into(), options).await.unwrap();
        let mut peer = Raw(b);
        for port in 1000..1000 + BACKLOG {
            peer.send(&segment(port, SYN, GOOD));
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(network.stats().connections, BACKLOG.into());
        for port in 10_000..10_000 + 8 * BACKLOG {
            peer.send(&segment(port, SYN, DAMAGED));
        }
        sleep(Duration::from_millis(10)).await;
        peer.send(&segment(1000, RST, GOOD));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(
            network.stats().connections,
            u32::from(BACKLOG) - 1,
            "the damaged ones are gone"
        );
        peer.send(&segment(20_001, SYN, GOOD));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(network.stats().connections, BACKLOG.into(), "there is room for another");
        let nobody = mayfly::time::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(nobody.is_err());
    });
}

#[test]
fn requests_that_come_to_nothing_take_no_stack() {
    thread::Builder::new().stack_size(STACK).spawn(flood).unwrap().join().unwrap();
}
