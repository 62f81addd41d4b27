//! Frames, both ways.

use core::task::Poll;

use super::*;

#[test]
fn frames_go_out_as_they_were_written() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    for length in [14, 60, 1000, 1514] {
        let bytes = pattern(length, length);
        let sent = frame(&*card.device, &bytes);
        card.device.transmit(sent).unwrap();
        assert_eq!(card.netback.drain(), Vec::<Vec<u8>>::new(), "not told yet");
        card.device.flush();
        assert_eq!(card.netback.drain(), [bytes]);
    }
}

#[test]
fn checksums_that_are_left_to_others_are_marked() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    assert!(card.device.info().checksums.on_transmit);
    for (bytes, flags) in [(tcp(100), BLANK), (pattern(0, 100), 0)] {
        let sent = frame(&*card.device, &bytes);
        card.device.transmit(sent).unwrap();
        card.device.flush();
        let sent = card.netback.take().unwrap();
        assert_eq!((sent.flags, &sent.bytes), (flags, &bytes));
        card.netback.answer(sent, 0);
    }
}

#[test]
fn frames_come_in_as_they_were_sent() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    for round in 0..1000 {
        let bytes = pattern(round, 14 + round % 1500);
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
        let flags = (round % 4) as u32;
        assert!(card.netback.deliver(&bytes, flags));
        assert!(card.waiter.is_woken());
        assert_eq!(card.waiter.poll(|cx| card.device.poll_ready(cx)), Poll::Ready(Ok(())));
        let received = card.device.receive().unwrap();
        assert_eq!(received.frame.bytes(), bytes);
        assert_eq!(received.checked, flags != 0);
        assert!(card.device.receive().is_none());
    }
}

#[test]
fn a_burst_of_frames_makes_one_event_and_the_ring_grow() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    let mut counts = Vec::new();
    for _ in 0..4 {
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
        let count = (0..).take_while(|round| card.netback.deliver(&pattern(*round, 60), 0)).count();
        counts.push(count);
        for round in 0..count {
            assert_eq!(card.device.receive().unwrap().frame.bytes(), pattern(round, 60));
        }
        assert!(card.device.receive().is_none());
    }
    assert_eq!(counts, [32, 64, 128, 128]);
}

#[test]
fn a_full_ring_takes_no_more_until_half_of_it_has_left() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    let room = card.device.transmit_room();
    for round in 0..room {
        let sent = frame(&*card.device, &pattern(round, 60));
        card.device.transmit(sent).unwrap();
    }
    card.device.flush();
    assert_eq!(card.netback.events(), 1, "one for all");
    assert_eq!(card.device.transmit_room(), 0);
    let late = frame(&*card.device, &pattern(0, 60));
    assert!(card.device.transmit(late).is_err());
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    for round in 0..room {
        assert_eq!(card.waiter.is_woken(), round == room / 2, "after {round}");
        let sent = card.netback.take().unwrap();
        assert_eq!(sent.bytes, pattern(round, 60));
        card.netback.answer(sent, 0);
    }
    assert_eq!(card.device.transmit_room(), room);
}

#[test]
fn the_back_end_is_told_only_when_it_asks() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    assert!(card.netback.drain().is_empty());
    for expected in [1, 0, 0] {
        let sent = frame(&*card.device, &pattern(0, 60));
        card.device.transmit(sent).unwrap();
        card.device.flush();
        card.device.flush();
        assert_eq!(card.netback.events(), expected);
    }
    assert_eq!(card.netback.drain().len(), 3);
    let sent = frame(&*card.device, &pattern(0, 60));
    card.device.transmit(sent).unwrap();
    card.device.flush();
    assert_eq!(card.netback.events(), 1);
}

#[test]
fn all_is_back_when_the_card_is_dropped() {
    let guest = Guest::new();
    let before = {
        drop(guest.sharing.grants.reserve(1).unwrap());
        guest.resources()
    };
    let mut card = connect(&guest);
    let pool = card.device.pool();
    let sent = frame(&*card.device, &pattern(0, 60));
    card.device.transmit(sent).unwrap();
    card.device.flush();
    // netback has the frame, and the rings.
    let kept = card.netback.take().unwrap();
    card.back.detach();
    guest.settle();
    assert!(card.end.take().is_some());
    let Card { device, netback, .. } = card;
    drop(device);
    assert_eq!(guest.resources().1, 3);
    drop(kept);
    assert_eq!(guest.resources().1, 2);
    drop(netback);
    assert_eq!(guest.resources(), before);
    let all: Vec<_> = core::iter::from_fn(|| FrameBuf::allocate(&pool, 0)).collect();
    assert_eq!(all.len(), 128);
}
