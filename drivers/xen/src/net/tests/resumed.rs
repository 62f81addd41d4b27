//! A card of a guest that goes on in another domain.

use super::*;

#[test]
fn frames_pass_again_in_another_domain() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let mut card = connect(&guest);
    let in_use = guest.resources();
    let _ = card.waiter.poll(|cx| card.device.poll_ready(cx));
    assert_eq!(card.device.link_change(), None);
    for round in 0..10 {
        let sent = frame(&*card.device, &pattern(0, 60));
        card.device.transmit(sent).unwrap();
        card.device.flush();
        assert!(card.netback.deliver(&pattern(3, 70), 0));
        card.back.move_on(FRONT);
        // What had come is lost, as are frames now and then.
        assert!(card.device.receive().is_none());
        guest.settle();
        card.back.offer(FEATURES);
        assert_eq!(card.back.front_state().as_deref(), Some("4"));
        card.netback = NetBack::map(&card.back);
        card.back.set_state(4);
        assert!(card.waiter.poll(|cx| card.device.poll_ready(cx)).is_ready(), "round {round}");
        assert_eq!(card.device.link_change(), Some(LinkChange::Up));
        assert_eq!(card.device.link_change(), None);
        let sent = frame(&*card.device, &pattern(1, 60));
        card.device.transmit(sent).unwrap();
        card.device.flush();
        assert_eq!(card.netback.drain(), [pattern(1, 60)]);
        let _ = card.waiter.poll(|cx| card.device.poll_ready(cx));
        assert!(card.netback.deliver(&pattern(2, 70), 0) && card.waiter.is_woken());
        assert!(card.device.receive().is_some());
    }
    assert_eq!(guest.resources(), in_use);
}
