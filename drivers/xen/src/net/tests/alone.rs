//! A card whose guest lacks what it shares with others: entries of the grant table.

use super::*;

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
