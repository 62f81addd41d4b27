//! What netback is told of groups.

use core::iter;

use super::*;

const CONTROL: (&str, &str) = ("feature-multicast-control", "1");
const ALL: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const OWN: [u8; 6] = [0x33, 0x33, 0xff, 1, 2, 3];
const NEW: [u8; 6] = [0x33, 0x33, 0xff, 4, 5, 6];

/// What the guest has said of groups.
fn heard(card: &mut Card<'_>) -> Vec<([u8; 6], bool)> {
    iter::from_fn(|| card.netback.take_group(0)).collect()
}

#[test]
fn netback_is_told_what_changes() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[CONTROL]);
    assert_eq!(card.back.front("request-multicast-control").as_deref(), Some("1"));
    assert!(heard(&mut card).is_empty());
    card.device.set_groups(&[ALL, OWN]);
    assert_eq!(card.netback.events(), 1, "at once");
    assert_eq!(heard(&mut card), [(ALL, true), (OWN, true)]);
    card.device.set_groups(&[ALL, OWN]);
    assert!(heard(&mut card).is_empty());
    card.device.set_groups(&[NEW, ALL]);
    assert_eq!(heard(&mut card), [(OWN, false), (NEW, true)]);
    let sent = frame(&*card.device, &pattern(0, 60));
    card.device.transmit(sent).unwrap();
    card.device.flush();
    assert_eq!(card.netback.drain(), [pattern(0, 60)]);
    assert_eq!(card.device.transmit_room(), 64);
}

#[test]
fn netback_that_filters_nothing_is_told_nothing() {
    for features in [&[][..], &[("feature-multicast-control", "0")]] {
        let guest = Guest::new();
        let mut card = connect_with(&guest, &[], features);
        assert_eq!(card.back.front("request-multicast-control").as_deref(), Some("0"));
        card.device.set_groups(&[ALL]);
        card.device.flush();
        assert!(heard(&mut card).is_empty());
    }
}

#[test]
fn netback_that_comes_back_is_told_all() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[CONTROL]);
    card.device.set_groups(&[ALL, OWN]);
    assert_eq!(heard(&mut card).len(), 2);
    card.back.set_state(6);
    assert!(card.device.receive().is_none());
    // Nobody is there to be told.
    card.device.set_groups(&[ALL, NEW]);
    card.back.set_state(2);
    card.netback = NetBack::map(&card.back);
    card.back.set_state(4);
    let _ = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert_eq!(heard(&mut card), [(ALL, true), (NEW, true)]);
}

#[test]
fn netback_is_told_when_there_is_room() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[CONTROL]);
    while card.device.transmit_room() > 1 {
        let sent = frame(&*card.device, &pattern(0, 60));
        card.device.transmit(sent).unwrap();
    }
    card.device.set_groups(&[ALL, OWN]);
    assert_eq!(card.netback.drain_frames(63), 63);
    assert_eq!(heard(&mut card), [(ALL, true)]);
    card.device.flush();
    assert!(heard(&mut card).is_empty(), "nobody has looked whether there is room");
    assert_eq!(card.device.transmit_room(), 64);
    card.device.flush();
    assert_eq!(heard(&mut card), [(OWN, true)]);
}

#[test]
fn netback_may_refuse() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[CONTROL]);
    card.device.set_groups(&[ALL]);
    assert!(card.netback.take_group(-1).is_some());
    assert_eq!(card.device.transmit_room(), 64);
    assert!(card.end.take().is_none());
    // There was no second question.
    card.netback.answer_nothing();
    assert_eq!(card.device.transmit_room(), 0);
    let polled = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert_eq!(polled, core::task::Poll::Ready(Err(DeviceError::Protocol)));
}

#[test]
fn netback_that_answers_half_of_what_it_is_told_is_told_no_more() {
    let guest = Guest::new();
    let features = [long::FEATURES, &[CONTROL]].concat();
    let mut card = connect_with(&guest, &[], &features);
    let mut told = 0;
    for round in 0..1000 {
        card.device.set_groups(if round % 2 == 0 { &[ALL] } else { &[OWN] });
        // The dummy request is answered, the extra info is not.
        while let Some([_, _, last]) = card.netback.transmit.take() {
            assert!(card.netback.transmit.take().is_some());
            card.netback.answer_part(last & 0xffff, 0);
            told += 1;
        }
    }
    assert_eq!(told, 255, "the ring has 256 entries, of which half are not answered");
    assert_eq!(card.device.transmit_room(), 0);
    // One entry is left, for a frame of one page of which nothing is said.
    let sent = frame(&*card.device, &tcp(100));
    let refused = card.device.transmit_segmented(sent, long::SEGMENT);
    assert_eq!(refused, Err(DeviceError::OutOfMemory));
    for expected in [Ok(()), Err(DeviceError::OutOfMemory)] {
        let sent = frame(&*card.device, &pattern(0, 60));
        assert_eq!(card.device.transmit(sent), expected);
    }
    assert!(card.end.take().is_none());
}
