//! A card whose guest lacks what it shares with others: XenStore, or entries of the grant table.

use core::task::Poll;

use super::*;

#[test]
fn a_card_goes_on_without_xenstore() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    guest.bench.break_down();
    guest.settle();
    assert_eq!(card.end.take(), None);
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    for round in 0..200 {
        let sent = frame(&*card.device, &pattern(round, 60));
        card.device.transmit(sent).unwrap();
        card.device.flush();
        assert_eq!(card.netback.drain(), [pattern(round, 60)]);
        assert!(card.netback.deliver(&pattern(round, 70), 0));
        assert_eq!(card.waiter.poll(|cx| card.device.poll_ready(cx)), Poll::Ready(Ok(())));
        let received = card.device.receive().unwrap();
        assert_eq!(received.frame.bytes(), pattern(round, 70));
    }
}

#[test]
fn a_card_waits_for_entries_that_others_have() {
    let guest = Guest::new();
    let mut hoard = guest.take_grants(3);
    let back = back(&guest);
    back.attach(FRONT);
    back.offer(FEATURES);
    let started = begin(&back);
    assert_eq!((back.front_state().as_deref(), guest.sharing.grants.free()), (Some("1"), 3));
    // Not enough yet.
    hoard.truncate(hoard.len() - 10);
    guest.settle();
    assert_eq!((back.front_state().as_deref(), guest.sharing.grants.free()), (Some("1"), 13));
    drop(hoard);
    guest.settle();
    assert_eq!(back.front_state().as_deref(), Some("4"));
    let _netback = NetBack::map(&back);
    back.set_state(4);
    assert!(matches!(started.take(), Some(Ok(_))));
}
