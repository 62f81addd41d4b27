//! Connecting, whatever is late or missing.

use super::*;

#[test]
fn it_connects_when_all_is_there() {
    let guest = Guest::new();
    let back = back(&guest);
    back.attach(&[]);
    back.offer(&[]);
    let negotiated = negotiate(&back);
    assert_eq!(back.front_state().as_deref(), Some("1"));
    let connected = publish(&back, &negotiated);
    assert_eq!(back.front("ring-ref").as_deref(), Some("77"));
    assert_eq!(back.front_state().as_deref(), Some("4"));
    assert!(connected.take().is_none(), "the back end is not there yet");
    back.set_state(4);
    let frontend = connected.take().unwrap().unwrap();
    assert_eq!(frontend.link().domain(), 0);
    drop(frontend);
    guest.settle();
    assert_eq!(guest.bench.in_use(), (0, 0));
}

#[test]
fn nothing_is_asked_twice() {
    let guest = Guest::new();
    let back = back(&guest);
    back.attach(&[]);
    back.offer(&[]);
    let before = guest.bench.requests();
    let asked = || guest.bench.requests() - before;
    let negotiated = negotiate(&back);
    // Where its back end is, two watches, and how things are: three nodes.
    assert_eq!(asked(), 2 + 2 + 3);
    let connected = publish(&back, &negotiated);
    // A transaction: whether the device is there, the ring, the state.
    assert_eq!(asked(), 7 + 2 + 3);
    back.set_state(4);
    let frontend = connected.take().unwrap().unwrap();
    assert_eq!(asked(), 12 + 3);
    let lost = guest.spawn(frontend.lost());
    guest.settle();
    assert!(lost.take().is_none());
    assert_eq!(asked(), 15);
    back.set_state(5);
    assert_eq!(lost.take(), Some(BusError::Closed));
}

#[test]
fn a_back_end_that_has_closed_is_told_of_the_beginning() {
    for (state, requests) in [(2, 7), (6, 7 + 4), (1, 7 + 4)] {
        let guest = Guest::new();
        let back = back(&guest);
        // The tools have written 1 for the front end, of which only one in state 2 has heard.
        back.attach(&[]);
        back.set_state(state);
        let before = guest.bench.requests();
        let negotiated = negotiate(&back);
        // A transaction: whether the device is there, the state.
        assert_eq!(guest.bench.requests() - before, requests, "back end in state {state}");
        assert_eq!(negotiated.take().is_some(), state == 2);
    }
}

#[test]
fn nodes_may_be_late() {
    let guest = Guest::new();
    let back = back(&guest);
    back.announce();
    let negotiated = negotiate(&back);
    assert!(negotiated.take().is_none());
    back.attach(&[]);
    guest.settle();
    // Unreadable at first, and without a state.
    back.permit(false);
    back.set_state(1);
    guest.settle();
    back.set_state(2);
    assert!(negotiated.take().is_none());
    back.permit(true);
    guest.settle();
    let connected = publish(&back, &negotiated);
    for state in [1, 2, 3] {
        back.set_state(state);
        assert!(connected.take().is_none());
    }
    back.set_state(4);
    assert!(connected.take().unwrap().is_ok());
}

#[test]
fn a_device_that_is_taken_away_before_its_nodes_are_there_is_gone() {
    let guest = Guest::new();
    let back = back(&guest);
    back.announce();
    let negotiated = negotiate(&back);
    assert!(negotiated.take().is_none());
    back.detach();
    guest.settle();
    assert!(matches!(negotiated.take(), Some(Err(BusError::Gone))));
}

#[test]
fn a_device_that_is_made_anew_while_nobody_looks_is_gone() {
    let guest = Guest::new();
    let back = back(&guest);
    back.attach(&[]);
    back.offer(&[]);
    let connected = publish(&back, &negotiate(&back));
    // All of it before the guest looks again: it stands still, or the app does something else.
    back.detach();
    back.attach(&[]);
    back.offer(&[]);
    assert!(matches!(connected.take(), Some(Err(BusError::Gone))));
}

#[test]
fn it_waits_for_a_back_end_that_ends_with_an_earlier_kernel() {
    let guest = Guest::new();
    let back = back(&guest);
    back.attach(&[]);
    back.put_front("state", "4");
    back.set_state(4);
    let negotiated = negotiate(&back);
    for (state, own) in [(4, "6"), (5, "6"), (6, "1"), (1, "1")] {
        back.set_state(state);
        assert_eq!(back.front_state().as_deref(), Some(own));
        assert!(negotiated.take().is_none());
    }
    back.set_state(2);
    assert!(negotiated.take().unwrap().is_ok());
}

#[test]
fn a_back_end_may_close_instead_of_connecting() {
    for state in [5, 6] {
        let guest = Guest::new();
        let back = back(&guest);
        back.attach(&[]);
        back.offer(&[]);
        let connected = publish(&back, &negotiate(&back));
        back.set_state(state);
        assert_eq!(connected.take().unwrap().err(), Some(BusError::Closed));
        guest.settle();
        assert_eq!(guest.bench.in_use(), (0, 0));
    }
}

#[test]
fn a_device_may_be_detached_at_any_time() {
    for step in 0..3 {
        let guest = Guest::new();
        let back = back(&guest);
        back.attach(&[]);
        if step > 0 {
            back.offer(&[]);
        } else {
            back.set_state(1);
        }
        let negotiated = negotiate(&back);
        let error = match step {
            0 => {
                back.detach();
                guest.settle();
                negotiated.take().unwrap().err()
            }
            1 => {
                back.detach();
                publish(&back, &negotiated).take().unwrap().err()
            }
            _ => {
                let connected = publish(&back, &negotiated);
                back.detach();
                guest.settle();
                connected.take().unwrap().err()
            }
        };
        assert_eq!(error, Some(BusError::Gone), "step {step}");
        guest.settle();
        assert_eq!((guest.bench.in_use(), back.front_state()), ((0, 0), None));
    }
}

#[test]
fn a_back_end_that_vanishes_while_it_connects_is_gone() {
    let guest = Guest::new();
    let back = back(&guest);
    back.attach(&[]);
    back.offer(&[]);
    let connected = publish(&back, &negotiate(&back));
    back.vanish();
    guest.settle();
    assert_eq!(connected.take().unwrap().err(), Some(BusError::Gone));
}

#[test]
fn the_devices_of_a_class_are_listed_by_number() {
    let guest = Guest::new();
    for directory in ["device/vif/10", "device/vif/9", "device/vif/x"] {
        Back::new(&guest, directory).attach(&[]);
    }
    let store = guest.bench.store.clone();
    let found = guest.spawn(async move {
        (devices(&store, "vif").await.unwrap(), devices(&store, "vbd").await.unwrap().len())
    });
    guest.settle();
    let (vif, vbd) = found.take().unwrap();
    assert_eq!((&*vif, vbd), (&["device/vif/9".to_string(), "device/vif/10".to_string()][..], 0));
}
