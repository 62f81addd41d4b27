//! Cards with several queues, and with an event channel for each ring.

use core::task::Poll;
use std::{format, string::ToString, vec};

use proptest::prelude::*;

use super::*;

const SPLIT: (&str, &str) = ("feature-split-event-channels", "1");

/// A card with several queues.
struct Wide<'a> {
    queues: Vec<NetBack<'a>>,
    back: Back<'a>,
    device: Box<dyn NetDevice>,
    end: Rc<Cell<Option<ConnectError>>>,
    waiter: Waiter,
}

/// Maps the queues that the front end has published.
fn map_all<'a>(back: &Back<'a>) -> Vec<NetBack<'a>> {
    let count = back.front("multi-queue-num-queues").map_or(1, |count| count.parse().unwrap());
    let map = |index: usize| match count {
        1 => NetBack::map(back),
        _ => NetBack::map_queue(back, &format!("queue-{index}/")),
    };
    (0..count).map(map).collect()
}

/// A card that was asked for `wanted` queues, whose back end says that it has `offered`.
fn connect_wide<'a>(guest: &'a Guest, wanted: usize, offered: &'static str) -> Wide<'a> {
    let back = back(guest);
    let start = async move |store: &Store, sharing, front: &'static str| {
        super::super::start(store, sharing, front, wanted).await
    };
    let offer = [FEATURES, &[SPLIT, ("multi-queue-max-queues", offered)]].concat();
    let (Working { device, end }, queues) = back.connect(start, FRONT, &offer, map_all);
    queues.iter().for_each(|queue| assert!(queue.events() <= 2));
    Wide { queues, back, device, end, waiter: Waiter::new() }
}

/// A frame of a connection.
fn frame_of(connection: u16, payload: usize) -> Vec<u8> {
    let mut bytes = tcp(payload);
    bytes[34..36].copy_from_slice(&connection.to_be_bytes());
    bytes
}

#[test]
fn each_ring_has_an_event_channel_of_its_own() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[SPLIT]);
    let (transmit, receive) = (card.netback.port, card.netback.receive_port);
    assert_ne!(transmit, receive);
    assert_eq!(card.back.front("event-channel"), None);
    assert!(card.netback.take().is_none(), "asks for an event");
    let sent = frame(&*card.device, &pattern(0, 60));
    card.device.transmit(sent).unwrap();
    card.device.flush();
    assert_eq!((card.netback.events_for(transmit), card.netback.events_for(receive)), (1, 0));
    assert_eq!(card.netback.drain(), [pattern(0, 60)]);
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    while card.netback.deliver(&pattern(1, 60), 0) {}
    assert!(card.waiter.is_woken());
    // The ring is empty: netback asks for an event when there are pages again.
    card.netback.events();
    while card.device.receive().is_some() {}
    card.device.flush();
    assert_eq!((card.netback.events_for(transmit), card.netback.events_for(receive)), (0, 1));
}

#[test]
fn there_are_as_many_queues_as_both_sides_want() {
    for (wanted, offered, expected) in [
        (1, "4", 1),
        (2, "4", 2),
        (4, "2", 2),
        (4, "1", 1),
        (4, "0", 1),
        (4, "-1", 1),
        (4, "many", 1),
        (99, "4294967295", 8),
        (0, "4", 1),
    ] {
        let guest = Guest::new();
        let card = connect_wide(&guest, wanted, offered);
        assert_eq!(card.queues.len(), expected, "{wanted} of {offered}");
        let at_top = card.back.front("tx-ring-ref").is_some();
        assert_eq!(at_top, expected == 1);
    }
}

#[test]
fn connections_keep_their_queue_and_use_all() {
    let guest = Guest::new();
    let mut card = connect_wide(&guest, 4, "4");
    let mut where_is = vec![None; 40];
    for payload in 1..4 {
        for connection in 0..40 {
            let sent = frame(&*card.device, &frame_of(connection, payload));
            card.device.transmit(sent).unwrap();
            card.device.flush();
            let mut came = card.queues.iter_mut().enumerate().flat_map(|(index, queue)| {
                queue.drain().into_iter().map(move |bytes| (index, bytes)).collect::<Vec<_>>()
            });
            let (index, bytes) = came.next().unwrap();
            assert_eq!(bytes, frame_of(connection, payload));
            assert!(came.next().is_none());
            let known = where_is[usize::from(connection)].get_or_insert(index);
            assert_eq!(*known, index);
        }
    }
    assert!((0..4).all(|queue| where_is.contains(&Some(queue))), "{where_is:?}");
}

#[test]
fn queues_are_received_from_in_turn() {
    let guest = Guest::new();
    let mut card = connect_wide(&guest, 3, "3");
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    for (index, queue) in card.queues.iter_mut().enumerate() {
        (0..5).for_each(|round| assert!(queue.deliver(&pattern(index + 10 * round, 60), 0)));
    }
    assert!(card.waiter.is_woken());
    for round in 0..5 {
        for index in 0..3 {
            let received = card.device.receive().unwrap();
            assert_eq!(received.frame.bytes(), pattern(index + 10 * round, 60));
        }
    }
    assert!(card.device.receive().is_none());
    // Each of them wakes.
    for index in 0..3 {
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
        assert!(card.queues[index].deliver(&pattern(index, 60), 0));
        assert!(card.waiter.is_woken());
        assert_eq!(card.waiter.poll(|cx| card.device.poll_ready(cx)), Poll::Ready(Ok(())));
        assert!(card.device.receive().is_some());
    }
}

#[test]
fn a_full_queue_holds_the_card_up_until_half_of_it_has_left() {
    let guest = Guest::new();
    let mut card = connect_wide(&guest, 2, "2");
    let room = card.device.transmit_room();
    for _ in 0..room {
        let sent = frame(&*card.device, &frame_of(1, 100));
        card.device.transmit(sent).unwrap();
    }
    card.device.flush();
    assert_eq!(card.device.transmit_room(), 0);
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    let full = card.queues.iter_mut().find_map(|queue| Some((queue.take()?, queue)));
    let (first, full) = full.unwrap();
    full.answer(first, 0);
    assert!(!card.waiter.is_woken());
    for _ in 0..room / 2 {
        let sent = full.take().unwrap();
        full.answer(sent, 0);
    }
    assert!(card.waiter.is_woken());
    assert_eq!(card.device.transmit_room(), room / 2 + 1);
}

#[test]
fn a_back_end_that_comes_back_may_have_other_queues() {
    let guest = Guest::new();
    // The table grows once, and does not shrink.
    drop(guest.sharing.grants.reserve(1500).unwrap());
    let before = guest.resources();
    let mut card = connect_wide(&guest, 4, "4");
    for offered in ["1", "3", "4"] {
        card.back.set_state(6);
        card.back.put("multi-queue-max-queues", offered);
        card.back.set_state(2);
        card.queues = map_all(&card.back);
        assert_eq!(card.queues.len().to_string(), offered);
        card.back.set_state(4);
        let _ = card.waiter.poll(|cx| card.device.poll_ready(cx));
        for connection in 0..20 {
            let sent = frame(&*card.device, &frame_of(connection, 10));
            card.device.transmit(sent).unwrap();
        }
        card.device.flush();
        let came: usize = card.queues.iter_mut().map(|queue| queue.drain().len()).sum();
        assert_eq!(came, 20);
    }
    card.back.detach();
    guest.settle();
    assert!(card.end.take().is_some());
    drop(card);
    assert_eq!(guest.resources(), before);
}

#[test]
fn a_queue_that_breaks_the_protocol_ends_the_card() {
    let guest = Guest::new();
    let mut card = connect_wide(&guest, 2, "2");
    card.queues[1].respond(77, 0, 0, 60);
    assert!(card.device.receive().is_none());
    let polled = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert_eq!(polled, Poll::Ready(Err(DeviceError::Protocol)));
}

proptest! {
    /// Nothing is lost, doubled or reordered within a connection, whichever queue is served when.
    #[test]
    fn frames_arrive_once_and_in_order(
        steps in proptest::collection::vec((0_u16..6, 0_usize..3, any::<bool>()), 1..200),
    ) {
        let guest = Guest::new();
        let mut card = connect_wide(&guest, 3, "3");
        let mut sent = vec![0_usize; 6];
        let mut arrived = vec![0_usize; 6];
        let mut arrive = |queue: &mut NetBack<'_>| {
            for bytes in queue.drain() {
                let connection = usize::from(bytes[35]);
                arrived[connection] += 1;
                assert_eq!(bytes.len() - 54, arrived[connection]);
            }
        };
        for (connection, queue, is_drained) in steps {
            if card.device.transmit_room() > 0 {
                let count = &mut sent[usize::from(connection)];
                *count += 1;
                let bytes = frame_of(connection, *count);
                let sent = frame(&*card.device, &bytes);
                card.device.transmit(sent).unwrap();
                card.device.flush();
            }
            if is_drained {
                arrive(&mut card.queues[queue]);
            }
        }
        card.queues.iter_mut().for_each(&mut arrive);
        prop_assert_eq!(arrived, sent);
    }
}
