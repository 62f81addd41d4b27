//! Devices that come, whatever their back ends do.

use std::{
    boxed::Box,
    cell::RefCell,
    future::poll_fn,
    pin::pin,
    string::String,
    task::Poll::{Pending, Ready},
    time::Duration,
    vec::Vec,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The directories of those that have come to work.
type Found = Rc<RefCell<Vec<String>>>;

/// Has the guest wait for devices, and anew each second, as an app may that has something else to do.
fn wait_for_devices(guest: &Guest) -> Found {
    let found = Found::default();
    let (store, clock, sleeper) = (guest.bench.store.clone(), guest.clock(), guest.clock());
    let (list, links) = (Rc::clone(&found), store.clone());
    let start = move |directory: String| {
        let store = links.clone();
        Box::pin(async move { connect(&store, &directory).await.ok() }) as _
    };
    guest.spawn(async move {
        let sleep = Rc::from(sleeper.sleeper());
        let mut arrivals = Arrivals::new(&store, "test", Rc::new(start), sleep).await.unwrap();
        let mut devices = Vec::new();
        loop {
            let new = |mut names: Vec<String>| {
                names.retain(|name| !list.borrow().contains(name));
                names
            };
            let (mut next, mut end) = (pin!(arrivals.next(new)), pin!(clock.sleep(SECOND)));
            let next = poll_fn(|cx| match next.as_mut().poll(cx) {
                Ready(device) => Ready(Some(device)),
                Pending => end.as_mut().poll(cx).map(|()| None),
            });
            if let Some(device) = next.await {
                let (name, device) = device.unwrap();
                list.borrow_mut().push(name);
                devices.push(device);
            }
        }
    });
    guest.settle();
    found
}

async fn connect(store: &Store, directory: &str) -> Result<Frontend<Connected>, BusError> {
    Frontend::begin(store, directory).await?.negotiate().await?.connect(Offer::default()).await
}

/// Attaches a device whose back end says what it can do.
fn attach<'a>(guest: &'a Guest, directory: &'static str) -> Back<'a> {
    let back = Back::new(guest, directory);
    back.attach(&[]);
    back.offer(&[]);
    back
}

#[test]
fn a_back_end_that_never_answers_keeps_no_other_device_waiting() {
    let guest = Guest::new();
    let found = wait_for_devices(&guest);
    let silent = Back::new(&guest, "device/test/0");
    silent.attach(&[]);
    guest.settle();
    assert_eq!(silent.front_state().as_deref(), Some("1"));
    // One that says what it can do, and nothing more, and one that works.
    let half = attach(&guest, "device/test/1");
    let good = attach(&guest, "device/test/2");
    assert_eq!((half.front_state(), good.front_state()), (Some("4".into()), Some("4".into())));
    good.set_state(4);
    assert_eq!(*found.borrow(), ["device/test/2"]);
    // No time has passed. When some has, they wait as before, and have not begun anew: this one would
    // wait for another state.
    half.set_state(3);
    for _ in 0..100 {
        guest.elapse(SECOND);
    }
    assert_eq!(half.front_state().as_deref(), Some("4"));
    half.set_state(4);
    silent.offer(&[]);
    silent.set_state(4);
    assert_eq!(*found.borrow(), ["device/test/2", "device/test/1", "device/test/0"]);
}

#[test]
fn one_that_does_not_work_is_tried_again_later() {
    let guest = Guest::new();
    let found = wait_for_devices(&guest);
    let back = attach(&guest, "device/test/0");
    back.set_state(6);
    back.set_state(2);
    // It is left alone for a second; others are not.
    assert_eq!(back.front_state().as_deref(), Some("4"));
    attach(&guest, "device/test/1").set_state(4);
    assert_eq!(*found.borrow(), ["device/test/1"]);
    back.put_front("state", "1");
    guest.elapse(SECOND);
    assert_eq!(back.front_state().as_deref(), Some("4"));
    back.set_state(4);
    assert_eq!(found.borrow().len(), 2);
}

#[test]
fn one_that_is_detached_on_its_way_is_forgotten() {
    let guest = Guest::new();
    let found = wait_for_devices(&guest);
    let before = guest.bench.in_use();
    for times in 0..3 {
        let back = attach(&guest, "device/test/0");
        assert_eq!(back.front_state().as_deref(), Some("4"));
        back.detach();
        guest.settle();
        assert_eq!((guest.bench.in_use(), found.borrow().len()), (before, 0), "{times}");
    }
    attach(&guest, "device/test/0").set_state(4);
    assert_eq!(found.borrow().len(), 1);
}
