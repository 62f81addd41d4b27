//! Consoles against a fake of who is at their other end.

extern crate std;

use core::{cell::Cell, sync::atomic::Ordering, task::Poll, time::Duration};
use std::{boxed::Box, rc::Rc, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{
    Sharing,
    bus::{BusError, ConnectError, Minder},
    fake::{Back, DOM0, Guest, Waiter, Working},
    grants::{Access, fake::PeerPage},
    store::Store,
};

const NAME: &str = "monitor";
const FRONT: &[(&str, &str)] = &[("name", NAME), ("type", "ioemu"), ("protocol", "vt100")];

const IN_CONSUMER: usize = 0xc00;
const IN_PRODUCER: usize = 0xc04;
const OUT_CONSUMER: usize = 0xc08;
const OUT_PRODUCER: usize = 0xc0c;

/// The other end.
struct Peer<'a> {
    guest: &'a Guest,
    page: PeerPage,
    port: u32,
}

impl<'a> Peer<'a> {
    fn map(back: &Back<'a>) -> Self {
        let reference = back.reference("ring-ref");
        let table = back.guest.sharing.grants;
        let page = PeerPage::map(table, DOM0, reference, Access::ReadWrite).unwrap();
        Self { guest: back.guest, page, port: back.front("port").unwrap().parse().unwrap() }
    }

    fn word(&self, offset: usize) -> u32 {
        self.page.word(offset).load(Ordering::Acquire)
    }

    fn set(&self, offset: usize, value: u32) {
        self.page.word(offset).store(value, Ordering::Release);
    }

    /// Types something, without looking for room.
    fn types(&self, bytes: &[u8]) {
        let start = self.word(IN_PRODUCER);
        for (byte, index) in bytes.iter().zip(start..) {
            self.page.byte(index as usize % 0x400).store(*byte, Ordering::Relaxed);
        }
        self.set(IN_PRODUCER, start.wrapping_add(bytes.len() as u32));
        self.guest.raise(self.port);
    }

    /// Takes what was printed.
    fn takes(&self) -> Vec<u8> {
        let (start, end) = (self.word(OUT_CONSUMER), self.word(OUT_PRODUCER));
        let byte =
            |index: u32| self.page.byte(0x400 + index as usize % 0x800).load(Ordering::Relaxed);
        let bytes = (0..end.wrapping_sub(start)).map(|at| byte(start.wrapping_add(at))).collect();
        self.set(OUT_CONSUMER, end);
        self.guest.raise(self.port);
        bytes
    }

    fn events(&self) -> usize {
        self.guest.take_sent(self.port)
    }
}

fn back(guest: &Guest) -> Back<'_> {
    Back::new(guest, "device/console/1")
}

async fn opened(
    store: &Store,
    sharing: Sharing,
    _: &'static str,
) -> Result<(Box<Channel>, Minder), ConnectError> {
    match open(store, sharing, NAME).await {
        Ok((channel, minder)) => Ok((Box::new(channel), minder)),
        Err(ChannelError::Connect(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// A console that works.
struct Console<'a> {
    back: Back<'a>,
    peer: Peer<'a>,
    channel: Box<Channel>,
    end: Rc<Cell<Option<ConnectError>>>,
    waiter: Waiter,
    /// How often it gave way to others although it was ready.
    breaks: u32,
}

fn connect(guest: &Guest) -> Console<'_> {
    let back = back(guest);
    let (Working { device, end }, peer) = back.connect(opened, FRONT, &[], Peer::map);
    Console { back, peer, channel: device, end, waiter: Waiter::new(), breaks: 0 }
}

impl Console<'_> {
    fn read(&mut self) -> Poll<Result<Vec<u8>, ChannelError>> {
        let mut buffer = [0; 100];
        let count = self.poll(|channel, cx| channel.poll_read(cx, &mut buffer));
        count.map_ok(|count| buffer[..count].to_vec())
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<Result<usize, ChannelError>> {
        self.poll(|channel, cx| channel.poll_write(cx, bytes))
    }

    /// Polls again after a break, as an executor does once others have had their turns.
    fn poll<T>(
        &mut self,
        mut poll: impl FnMut(&mut Channel, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let result = self.waiter.poll(|cx| poll(&mut self.channel, cx));
        if result.is_ready() || !self.waiter.is_woken() {
            return result;
        }
        self.breaks += 1;
        self.waiter.poll(|cx| poll(&mut self.channel, cx))
    }
}

#[test]
fn bytes_go_both_ways() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    assert_eq!(console.read(), Poll::Pending);
    console.peer.types(b"he");
    assert!(console.waiter.is_woken());
    assert_eq!(console.read(), Poll::Ready(Ok(b"he".to_vec())));
    assert_eq!(console.peer.events(), 1);
    assert_eq!((console.read(), console.peer.events()), (Poll::Pending, 0));
    console.peer.types(&[7; 150]);
    assert_eq!(console.read(), Poll::Ready(Ok(vec![7; 100])));
    assert_eq!(console.read(), Poll::Ready(Ok(vec![7; 50])));

    assert_eq!(console.write(b""), Poll::Ready(Ok(0)));
    console.peer.events();
    assert_eq!(console.write(b"line\n"), Poll::Ready(Ok(5)));
    assert_eq!(console.peer.events(), 1);
    assert_eq!(console.peer.takes(), b"line\n");
}

#[test]
fn a_full_ring_is_waited_for() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    assert_eq!(console.write(&[1; 3000]), Poll::Ready(Ok(0x800)));
    assert_eq!(console.write(&[2; 10]), Poll::Pending);
    assert_eq!(console.peer.takes(), [1; 0x800]);
    assert!(console.waiter.is_woken());
    assert_eq!(console.write(&[2; 10]), Poll::Ready(Ok(10)));
    assert_eq!(console.peer.takes(), [2; 10]);
}

#[test]
fn it_is_found_by_its_name_and_opened_once() {
    let guest = Guest::new();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let ask = |name: &'static str| {
        let store = store.clone();
        let result = guest.spawn(async move { open(&store, sharing, name).await.err() });
        guest.settle();
        result.take().unwrap()
    };
    assert_eq!(ask(NAME), Some(ChannelError::NotFound));
    let _console = connect(&guest);
    assert_eq!(ask("another"), Some(ChannelError::NotFound));
    assert_eq!(ask(NAME), Some(ChannelError::InUse));
}

#[test]
fn of_two_who_open_it_at_the_same_time_one_gets_it() {
    let guest = Guest::new();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let back = back(&guest);
    back.attach(FRONT);
    back.offer(&[]);
    let both = [(); 2].map(|()| {
        let store = store.clone();
        guest.spawn(async move { open(&store, sharing, NAME).await.map(|_| ()) })
    });
    guest.settle();
    assert_eq!(both.each_ref().map(|one| one.take()), [None, Some(Err(ChannelError::InUse))]);
    // One that is given up can be opened by others. The back end hears of the end first, and may look
    // for the ring until then.
    let in_use = guest.resources();
    drop(guest.take_tasks());
    assert_eq!(guest.resources(), in_use);
    let third = guest.spawn(async move { open(&store, sharing, NAME).await.map(|_| ()) });
    guest.settle();
    assert_eq!((back.front_state().as_deref(), guest.resources()), (Some("6"), in_use));
    back.set_state(6);
    assert_eq!(back.front_state().as_deref(), Some("1"));
    assert_ne!(guest.resources(), in_use);
    back.set_state(2);
    back.set_state(4);
    assert_eq!(third.take(), Some(Ok(())));
}

#[test]
fn one_that_is_dropped_is_closed_and_can_be_opened_again() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let before = guest.resources();
    for _ in 0..3 {
        let Console { back, peer, channel, end, .. } = connect(&guest);
        drop(channel);
        guest.settle();
        assert_eq!(back.front_state().as_deref(), Some("6"));
        drop(peer);
        assert_ne!(guest.resources(), before, "the other end has not heard yet");
        back.set_state(6);
        assert_eq!(end.take(), Some(ConnectError::Bus(BusError::Unused)));
        assert_eq!(guest.resources(), before);
    }
}

/// The other end, which has closed, begins again.
fn come_back(console: &mut Console<'_>) {
    console.back.set_state(6);
    console.back.set_state(2);
    assert_eq!(console.back.front_state().as_deref(), Some("4"));
    console.peer = Peer::map(&console.back);
    console.back.set_state(4);
    // Who loses a connection often within ten seconds is left alone for a while.
    console.back.guest.elapse(Duration::from_secs(10));
}

#[test]
fn it_comes_back_with_its_back_end() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    assert_eq!(console.write(b"lost"), Poll::Ready(Ok(4)));
    assert_eq!(console.read(), Poll::Pending);
    console.back.set_state(5);
    assert_eq!(console.write(b"later"), Poll::Pending);
    come_back(&mut console);
    assert!(console.waiter.is_woken());
    assert_eq!(console.write(b"later"), Poll::Ready(Ok(5)));
    assert_eq!(console.peer.takes(), b"later");
}

#[test]
fn ten_thousand_reconnects_leave_as_much_as_before() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    let in_use = guest.resources();
    for _ in 0..10_000 {
        assert!(console.write(b"lost").is_ready());
        console.back.set_state(5);
        assert_eq!(console.read(), Poll::Pending);
        come_back(&mut console);
    }
    // The page and the event channel of the last one are all that there is, and in XenStore the two
    // watches of who minds it.
    assert!(console.write(b"kept").is_ready());
    assert_eq!(console.peer.takes(), b"kept");
    assert_eq!((guest.resources(), guest.bench.in_use()), (in_use, (2, 0)));
}

#[test]
fn one_that_is_removed_ends_and_leaves_nothing() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    assert_eq!(console.read(), Poll::Pending);
    let (free, ..) = guest.resources();
    console.back.detach();
    guest.settle();
    assert!(console.waiter.is_woken());
    assert_eq!(console.read(), Poll::Ready(Err(ChannelError::Gone)));
    assert_eq!(console.write(b"x"), Poll::Ready(Err(ChannelError::Gone)));
    assert!(console.end.take().is_some());
    drop(console);
    assert_eq!(guest.resources(), (free + 1, 0, 0));
}

#[test]
fn indices_that_make_no_sense_end_it() {
    for (offset, value) in [(IN_PRODUCER, 0x401), (IN_PRODUCER, u32::MAX)] {
        let guest = Guest::new();
        let mut console = connect(&guest);
        console.peer.set(offset, value);
        assert_eq!(console.read(), Poll::Ready(Err(ChannelError::Protocol)));
        assert_eq!(console.write(b"x"), Poll::Ready(Err(ChannelError::Protocol)));
    }
    let guest = Guest::new();
    let mut console = connect(&guest);
    console.peer.set(OUT_CONSUMER, 1);
    assert_eq!(console.write(b"x"), Poll::Ready(Err(ChannelError::Protocol)));
}

#[test]
fn only_its_own_indices_are_the_guests() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    console.peer.types(b"abc");
    assert_eq!(console.read(), Poll::Ready(Ok(b"abc".to_vec())));
    assert_eq!(console.write(b"abc"), Poll::Ready(Ok(3)));
    // What the other side writes over the guest's indices is not looked at.
    console.peer.set(IN_CONSUMER, 77);
    console.peer.set(OUT_PRODUCER, 99);
    console.peer.types(b"d");
    assert_eq!(console.read(), Poll::Ready(Ok(b"d".to_vec())));
    assert_eq!(console.write(b"d"), Poll::Ready(Ok(1)));
    assert_eq!((console.peer.word(IN_CONSUMER), console.peer.word(OUT_PRODUCER)), (4, 4));
}

proptest! {
    /// Whatever is on the page, each call ends, and with no more bytes than there can be.
    #[test]
    fn scribbling_does_no_harm(steps in prop::collection::vec((0..8usize, any::<u32>(), 0..3u8), 1..40)) {
        let guest = Guest::new();
        let mut console = connect(&guest);
        for (word, value, action) in steps {
            match action {
                0 => console.peer.set(IN_CONSUMER + 4 * (word % 4), value % 0x1000),
                1 => prop_assert!(!matches!(console.read(), Poll::Ready(Ok(bytes)) if bytes.is_empty())),
                _ => prop_assert!(!matches!(console.write(&[1; 300]), Poll::Ready(Ok(0)))),
            }
            guest.raise(console.peer.port);
        }
    }
}

#[test]
fn who_types_without_end_does_not_keep_the_reader() {
    let guest = Guest::new();
    let mut console = connect(&guest);
    for _ in 0..100 {
        console.peer.types(b"x");
        assert_eq!(console.read(), Poll::Ready(Ok(b"x".to_vec())));
    }
    assert!(console.breaks > 2, "{} breaks", console.breaks);
}
