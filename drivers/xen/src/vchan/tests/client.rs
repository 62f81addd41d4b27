//! This guest as client; the server, of dom0, does what libxenvchan's does, or something else.

use super::*;
use crate::{
    XenError,
    event_channel::EventChannel,
    fake::PLACES,
    grants::{ForeignError, GrantStatus},
};

const NODES: &str = "/local/domain/0/data/vchan/7/test";

/// A server of dom0.
struct Server {
    first: Grant<HeapPage>,
    others: Vec<Grant<HeapPage>>,
    channel: EventChannel,
}

fn grant(guest: &Guest) -> Grant<HeapPage> {
    let page = HeapPage::zeroed().unwrap();
    guest.sharing.grants.grant(DOM0, page, Access::ReadWrite).unwrap()
}

impl Server {
    /// Makes a channel with rings of these orders.
    fn new(guest: &Guest, left: u32, right: u32) -> Self {
        guest.face_itself();
        let first = grant(guest);
        let words = first.page().words();
        words[4].store(left | right << 16, Ordering::SeqCst);
        words[5].store(0x0001_0102, Ordering::SeqCst);
        let pages = [left, right].map(|order| if order < 12 { 0 } else { 1 << (order - 12) });
        let others: Vec<_> = (0..pages[0] + pages[1]).map(|_| grant(guest)).collect();
        for (word, page) in words[6..].iter().zip(&others) {
            word.store(page.reference().0, Ordering::SeqCst);
        }
        let channel = guest.sharing.events.alloc_unbound(DOM0).unwrap();
        Self { first, others, channel }
    }

    fn publish(&self, guest: &Guest) {
        let values = [
            ("ring-ref", self.first.reference().0),
            ("event-channel", self.channel.port().number()),
        ];
        for (name, value) in values {
            guest.bench.put(&std::format!("{NODES}/{name}"), std::format!("{value}"), 0);
        }
        guest.settle();
    }

    fn byte(&self, offset: usize) -> u8 {
        self.first.page().bytes()[offset].load(Ordering::SeqCst)
    }
}

/// What a client makes of a server.
fn result_of(guest: &Guest, server: &Server) -> Option<Result<Vchan, VchanError>> {
    let connected = connect_to(guest, DOM0);
    guest.settle();
    server.publish(guest);
    connected.take()
}

#[test]
fn a_client_says_that_it_is_there() {
    for (left, right) in [(10, 11), (11, 10), (11, 13), (14, 11), (12, 12)] {
        let guest = Guest::new();
        let server = Server::new(&guest, left, right);
        let vchan = result_of(&guest, &server).unwrap().unwrap();
        assert_eq!(vchan.sizes(), (1 << right, 1 << left));
        // Both are there, and it asks the server to tell what it writes.
        assert_eq!([20, 21, 22, 23].map(|at| server.byte(at)), [1, 1, 1, 1]);
        let port = vchan.end().channel.port().number();
        assert_eq!(guest.take_sent(port), 1);
        let (_reader, writer) = vchan.split();
        drop((_reader, writer));
        assert_eq!(server.byte(20), 0);
        assert_eq!(guest.places(), PLACES);
        assert!(!server.first.is_in_use() && !server.others.iter().any(Grant::is_in_use));
    }
}

#[test]
fn what_cannot_be_a_channel_is_refused() {
    for (left, right) in [(10, 10), (11, 11), (9, 11), (0, 0), (21, 11), (20, 10), (255, 255)] {
        let guest = Guest::new();
        let server = Server::new(&guest, 10, 11);
        server.first.page().words()[4].store(left | right << 16, Ordering::SeqCst);
        let error = result_of(&guest, &server).unwrap().unwrap_err();
        assert_eq!(error, VchanError::BadOffer, "{left} {right}");
        assert_eq!(guest.places(), PLACES);
    }
}

#[test]
fn pages_that_are_not_granted_are_refused() {
    let guest = Guest::new();
    let server = Server::new(&guest, 12, 13);
    server.first.page().words()[8].store(500, Ordering::SeqCst);
    let error = result_of(&guest, &server).unwrap().unwrap_err();
    assert_eq!(error, VchanError::Map(ForeignError::Refused(GrantStatus::General)));
    assert!(!server.first.is_in_use());
    // More pages than can be mapped.
    let guest = Guest::new();
    let server = Server::new(&guest, 19, 19);
    let error = result_of(&guest, &server).unwrap().unwrap_err();
    assert_eq!(error, VchanError::Map(ForeignError::NoPlace));
    assert_eq!(guest.places(), PLACES);
    assert!(!server.others.iter().any(Grant::is_in_use));
}

#[test]
fn nodes_that_make_no_sense_are_refused() {
    use crate::store::StoreError::Invalid;
    for (page, port, error) in [
        ("0", "1", VchanError::BadOffer),
        ("8", "0", VchanError::BadOffer),
        ("8", "4096", VchanError::BadOffer),
        ("8", "18446744073709551615", VchanError::BadOffer),
        ("-1", "1", VchanError::Store(Invalid)),
        ("8", "", VchanError::Store(Invalid)),
        ("4294967296", "1", VchanError::Store(Invalid)),
        ("eight", "1", VchanError::Store(Invalid)),
    ] {
        let guest = Guest::new();
        let connected = connect_to(&guest, DOM0);
        guest.settle();
        guest.bench.put(&[NODES, "/ring-ref"].concat(), page, 0);
        guest.bench.put(&[NODES, "/event-channel"].concat(), port, 0);
        guest.settle();
        assert_eq!(connected.take().unwrap().unwrap_err(), error, "{page} {port}");
        assert_eq!(guest.bench.in_use(), (0, 0));
    }
}

#[test]
fn a_client_waits_for_another_when_a_server_is_over() {
    let guest = Guest::new();
    let server = Server::new(&guest, 10, 11);
    server.first.page().bytes()[21].store(0, Ordering::SeqCst);
    let connected = connect_to(&guest, DOM0);
    server.publish(&guest);
    assert!(connected.take().is_none() && !server.first.is_in_use());
    let before = guest.resources();
    let next = Server::new(&guest, 10, 11);
    next.publish(&guest);
    assert!(connected.take().unwrap().is_ok());
    drop((server, next));
    assert!(guest.resources().0 <= before.0 + 1);
}

#[test]
fn what_xen_forbids_is_told() {
    assert_eq!(
        VchanError::Event(XenError(1)).to_text(),
        "the vchan has no event channel: Xen does not permit it; its security policy may forbid it (EPERM)"
    );
}

impl VchanError {
    fn to_text(self) -> String {
        std::format!("{self}")
    }
}
