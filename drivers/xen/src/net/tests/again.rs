//! A netback that goes away and comes back.

use core::{task::Poll, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::bus::BusError;

/// The back end comes back, up to where it waits for the front end, and stays.
fn come_back(card: &mut Card<'_>) {
    appear(card);
    card.back.guest.elapse(Duration::from_secs(10));
}

/// The back end comes back.
fn appear(card: &mut Card<'_>) {
    card.back.set_state(6);
    assert_eq!(card.back.front_state().as_deref(), Some("1"));
    card.back.set_state(2);
    assert_eq!(card.back.front_state().as_deref(), Some("4"));
    card.netback = NetBack::map(&card.back);
    card.back.set_state(4);
    card.netback.events();
}

/// Frames pass in both directions.
fn works(card: &mut Card<'_>) -> bool {
    let sent = frame(&*card.device, &pattern(1, 60));
    card.device.transmit(sent).unwrap();
    card.device.flush();
    assert_eq!(card.netback.drain(), [pattern(1, 60)]);
    let _ = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert!(card.netback.deliver(&pattern(2, 70), 0) && card.waiter.is_woken());
    card.device.receive().is_some_and(|received| received.frame.bytes() == pattern(2, 70))
}

/// What the card says about its link, for which it wakes the stack.
fn link_change(card: &mut Card<'_>) -> Option<LinkChange> {
    match card.waiter.poll(|cx| card.device.poll_ready(cx)) {
        Poll::Ready(result) => result.ok().and_then(|()| card.device.link_change()),
        Poll::Pending => None,
    }
}

#[test]
fn the_card_goes_on_when_its_back_end_comes_back() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let mut card = connect(&guest);
    let info = card.device.info();
    let in_use = guest.resources();
    for state in [5, 6] {
        for _ in 0..5 {
            let sent = frame(&*card.device, &pattern(0, 60));
            card.device.transmit(sent).unwrap();
        }
        card.device.flush();
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
        card.back.set_state(state);
        assert!(card.waiter.is_woken());
        // Away.
        let front = card.back.front_state();
        assert_eq!(front.as_deref(), Some(if state == 5 { "6" } else { "1" }));
        assert_eq!(card.device.transmit_room(), 0);
        let sent = frame(&*card.device, &pattern(0, 60));
        assert_eq!(card.device.transmit(sent), Err(DeviceError::Gone));
        card.device.flush();
        assert!(card.device.receive().is_none());
        assert_eq!(link_change(&mut card), Some(LinkChange::Down));
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
        come_back(&mut card);
        assert!(card.waiter.is_woken());
        let polled = card.waiter.poll(|cx| card.device.poll_ready(cx));
        assert_eq!(polled, Poll::Ready(Ok(())));
        assert_eq!(card.device.link_change(), Some(LinkChange::Up));
        assert_eq!((card.device.transmit_room(), card.device.info()), (64, info));
        assert!(works(&mut card));
        assert_eq!(guest.resources(), in_use);
    }
    assert!(card.end.take().is_none());
}

#[test]
fn the_card_has_a_link_only_while_its_back_end_has_one() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    assert_eq!(link_change(&mut card), None);
    card.back.put("carrier", "1");
    guest.settle();
    assert_eq!(link_change(&mut card), None);
    card.back.put("carrier", "0");
    guest.settle();
    assert!(card.waiter.is_woken());
    assert_eq!(link_change(&mut card), Some(LinkChange::Down));
    // It waits for the link, not for room in a ring that is empty.
    assert_eq!(card.device.transmit_room(), 0);
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    // Nor does it come with another ring.
    come_back(&mut card);
    assert_eq!(link_change(&mut card), Some(LinkChange::Down));
    card.back.put("carrier", "1");
    guest.settle();
    assert!(card.waiter.is_woken());
    assert_eq!(link_change(&mut card), Some(LinkChange::Up));
    assert_eq!(card.device.transmit_room(), 64);
    assert!(works(&mut card));
    for nonsense in ["", "00", "-1", "no", "\u{fffd}"] {
        card.back.put("carrier", nonsense);
        guest.settle();
        assert_eq!(link_change(&mut card), None, "{nonsense:?}");
    }
    guest.settle();
}

#[test]
fn a_link_that_is_down_from_the_beginning_is_waited_for() {
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[("carrier", "0")]);
    guest.settle();
    assert_eq!(link_change(&mut card), Some(LinkChange::Down));
    card.back.put("carrier", "1");
    guest.settle();
    assert_eq!(link_change(&mut card), Some(LinkChange::Up));
    assert!(works(&mut card));
}

#[test]
fn a_netback_that_takes_fewer_event_channels_than_the_last_hears_of_all() {
    const SPLIT: &str = "feature-split-event-channels";
    let guest = Guest::new();
    let mut card = connect_with(&guest, &[], &[(SPLIT, "1")]);
    for splits in ["0", "1", "0"] {
        card.back.put(SPLIT, splits);
        come_back(&mut card);
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_ready());
        assert_eq!(card.netback.port == card.netback.receive_port, splits == "0");
        assert!(works(&mut card));
    }
}

#[test]
fn a_netback_that_keeps_closing_is_left_alone_for_a_while() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    for _ in 0..2 {
        for _ in 0..8 {
            appear(&mut card);
        }
        for pause in [100, 200, 400] {
            // It hears of the end at once, and of more when the guest has waited.
            card.back.set_state(6);
            assert_eq!(card.back.front_state().as_deref(), Some("6"));
            let steps = guest.bench.steps();
            for _ in 0..50 {
                card.back.set_state(2);
                card.back.set_state(6);
            }
            assert_eq!(guest.bench.steps(), steps, "the guest looks at it");
            guest.elapse(Duration::from_millis(pause - 1));
            assert_eq!(card.back.front_state().as_deref(), Some("6"));
            guest.elapse(Duration::from_millis(1));
            assert_eq!(card.back.front_state().as_deref(), Some("1"));
            appear(&mut card);
            guest.elapse(Duration::from_secs(9));
        }
        guest.elapse(Duration::from_secs(1));
        assert!(works(&mut card));
    }
}

#[test]
fn a_netback_that_broke_the_protocol_is_told_of_the_end() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    card.netback.transmit.answer(&[0]);
    assert_eq!(card.back.front_state().as_deref(), Some("4"));
    assert_eq!(card.device.transmit_room(), 0);
    guest.settle();
    assert_eq!(card.back.front_state().as_deref(), Some("6"));
    assert_eq!(card.end.take(), Some(ConnectError::Bus(BusError::Broken)));
    // It is not connected again.
    card.back.set_state(6);
    card.back.set_state(2);
    assert_eq!(card.back.front_state().as_deref(), Some("6"));
}

#[test]
fn a_netback_that_was_bound_anew_is_connected_anew() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    // It begins, and connects with the rings that it finds before it hears that they are not used.
    card.back.set_state(2);
    assert_eq!(card.back.front_state().as_deref(), Some("6"));
    card.back.set_state(4);
    assert_eq!(card.back.front_state().as_deref(), Some("6"));
    come_back(&mut card);
    assert!(works(&mut card));
}

#[test]
fn the_back_ends_directory_may_be_away_for_a_while() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    card.back.vanish();
    guest.settle();
    assert_eq!(card.back.front_state().as_deref(), Some("6"));
    assert_eq!(link_change(&mut card), Some(LinkChange::Down));
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    card.back.offer(FEATURES);
    card.netback = NetBack::map(&card.back);
    card.back.set_state(4);
    assert!(works(&mut card));
}

#[test]
fn a_card_that_is_detached_is_gone() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let before = guest.resources();
    let mut card = connect(&guest);
    card.back.put("online", "0");
    card.back.set_state(5);
    card.back.set_state(6);
    assert_eq!(card.back.front_state().as_deref(), Some("6"), "it does not begin again");
    assert_eq!(link_change(&mut card), Some(LinkChange::Down));
    assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_pending());
    card.back.detach();
    guest.settle();
    assert_eq!(card.back.front_state(), None);
    assert!(card.waiter.is_woken());
    let polled = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert_eq!(polled, Poll::Ready(Err(DeviceError::Gone)));
    assert_eq!(card.end.take(), Some(ConnectError::Bus(BusError::Gone)));
    drop((card.device, card.netback));
    assert_eq!((guest.resources(), guest.bench.in_use()), (before, (0, 0)));
}

#[test]
fn another_card_in_its_place_is_not_used() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    card.back.set_state(5);
    card.back.put_front("mac", "00:16:3e:99:99:99");
    card.back.set_state(6);
    card.back.set_state(2);
    card.back.set_state(4);
    assert_eq!(card.end.take(), Some(ConnectError::Bus(BusError::Changed)));
    assert_eq!(card.back.front_state().as_deref(), Some("6"));
    let polled = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert_eq!(polled, Poll::Ready(Err(DeviceError::Gone)));
}

#[test]
fn a_back_end_that_comes_back_only_to_close_is_waited_for() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    for _ in 0..3 {
        card.back.set_state(5);
        card.back.set_state(6);
        card.back.set_state(2);
        assert_eq!(card.back.front_state().as_deref(), Some("4"));
        card.back.set_state(5);
        assert_eq!(card.back.front_state().as_deref(), Some("6"));
    }
    come_back(&mut card);
    assert!(works(&mut card));
}

#[test]
fn the_back_end_of_a_card_that_was_dropped_hears_of_it() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let in_use = guest.resources();
    let Card { back, device, end, netback, .. } = connect(&guest);
    drop(device);
    guest.settle();
    assert_eq!(back.front_state().as_deref(), Some("6"));
    // It may be at work in the rings until it says that it has heard.
    assert!(end.take().is_none() && guest.resources() != in_use);
    drop(netback);
    back.set_state(5);
    assert!(end.take().is_none());
    back.set_state(6);
    assert_eq!(end.take(), Some(ConnectError::Bus(BusError::Unused)));
    assert_eq!((guest.resources(), guest.bench.in_use()), (in_use, (0, 0)));
}

#[test]
fn ten_thousand_reconnects_leave_as_much_as_before() {
    let guest = Guest::new();
    let mut card = connect(&guest);
    let in_use = guest.resources();
    for _ in 0..10_000 {
        card.back.set_state(5);
        card.device.flush();
        come_back(&mut card);
        let sent = frame(&*card.device, &pattern(0, 60));
        card.device.transmit(sent).unwrap();
        card.device.flush();
    }
    card.netback.drain();
    assert!(works(&mut card));
    assert_eq!((guest.resources(), guest.bench.in_use()), (in_use, (3, 0)));
}

proptest! {
    #[test]
    fn states_in_any_order_end_well(states in prop::collection::vec(0..10u8, 0..30)) {
        let guest = Guest::new();
        let mut card = connect(&guest);
        for state in states {
            card.back.set_state(state);
            card.device.transmit_room();
            prop_assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)) != Poll::Ready(Err(DeviceError::Gone)));
        }
        card.back.set_state(5);
        come_back(&mut card);
        prop_assert!(works(&mut card));
    }
}
