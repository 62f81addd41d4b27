//! What the other side does counts, at whichever moment it does it.

use super::*;

/// Has `change` happen at each moment of `connect`, on a device of its own each time, and `check` judge
/// what has come of it when all are at rest.
fn at_each_moment<T>(
    connect: impl Fn(&Back<'_>) -> T,
    change: impl Fn(&Back<'_>),
    check: impl Fn(T) -> bool,
) {
    for steps in 0.. {
        let guest = Guest::new();
        let back = back(&guest);
        let connected = connect(&back);
        let is_over = guest.settle_for(steps);
        change(&back);
        guest.settle();
        assert!(check(connected), "after {steps} steps");
        if is_over {
            assert!(steps > 2, "nobody did anything before");
            break;
        }
    }
}

#[test]
fn the_node_that_leads_to_the_back_end_may_come() {
    let connect = |back: &Back<'_>| {
        back.announce();
        back.put_front("state", "1");
        back.put_front("backend-id", "0");
        back.offer(&[]);
        look_for(back)
    };
    let change = |back: &Back<'_>| back.lead();
    at_each_moment(connect, change, |negotiated| matches!(negotiated.take(), Some(Ok(_))));
}

#[test]
fn the_back_end_may_be_ready() {
    let connect = |back: &Back<'_>| {
        back.attach(&[]);
        look_for(back)
    };
    let change = |back: &Back<'_>| back.offer(&[]);
    at_each_moment(connect, change, |negotiated| matches!(negotiated.take(), Some(Ok(_))));
}

#[test]
fn the_back_end_may_end() {
    let connect = |back: &Back<'_>| {
        back.attach(&[]);
        back.offer(&[]);
        let Some(Ok(frontend)) = negotiate(back).take() else { panic!("it does not negotiate") };
        back.put("state", "4");
        back.guest.spawn(async move {
            match frontend.connect(Offer::default()).await {
                Ok(frontend) => frontend.lost().await,
                Err(error) => error,
            }
        })
    };
    let change = |back: &Back<'_>| back.set_state(5);
    at_each_moment(connect, change, |reason| reason.take() == Some(BusError::Closed));
}

/// A back end that was bound anew is ready, and closes when it hears of the end.
#[test]
fn a_back_end_that_is_late_may_close() {
    let connect = |back: &Back<'_>| {
        back.attach(&[]);
        back.offer(&[]);
        let Some(Ok(frontend)) = negotiate(back).take() else { panic!("it does not negotiate") };
        let link = Rc::clone(frontend.link());
        drop(frontend);
        back.set_state(5);
        let negotiated = back.guest.spawn(async move {
            Frontend::end(link).await?.begin_again().await?.negotiate_again().await
        });
        back.guest.settle();
        back.put("state", "2");
        negotiated
    };
    let change = |back: &Back<'_>| back.set_state(6);
    let moments = Cell::new(0);
    at_each_moment(connect, change, |negotiated| {
        moments.set(moments.get() + usize::from(matches!(negotiated.take(), Some(Ok(_)))));
        true
    });
    // From the last look on, which `connect` finds out; without that look there are nine.
    assert!((1..=3).contains(&moments.get()), "{} moments", moments.get());
}

#[test]
fn the_device_may_go() {
    let connect = |back: &Back<'_>| {
        back.attach(&[]);
        back.set_state(1);
        look_for(back)
    };
    let change = |back: &Back<'_>| back.detach();
    at_each_moment(connect, change, |negotiated| {
        matches!(negotiated.take(), Some(Err(BusError::Gone)))
    });
}
