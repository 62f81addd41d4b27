//! Watches.

extern crate std;

use std::{boxed::Box, format, vec::Vec};

use crate::store::{
    StoreError,
    fake::{Bench, HOME, all, give_up, poll},
};

#[test]
fn changes_are_told_once_however_late_they_are_asked_for() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        let mut watch = store.watch("data/a").await.unwrap();
        assert_eq!(watch.next().await.unwrap(), "data/a");
        give_up(watch.next()).await;
        for _ in 0..3 {
            store.write("data/a/1", "").await.unwrap();
            store.write("data/a/2", "").await.unwrap();
            store.write("data/b", "").await.unwrap();
        }
        assert_eq!(watch.next().await.unwrap(), "data/a/1");
        store.write("data/a/1", "").await.unwrap();
        assert_eq!(watch.next().await.unwrap(), "data/a/2");
        assert_eq!(watch.next().await.unwrap(), "data/a/1");
        give_up(watch.next()).await;
        store.remove("data").await.unwrap();
        assert_eq!(watch.next().await.unwrap(), "data/a");
    });
}

#[test]
fn when_too_many_change_the_watched_path_stands_for_them() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        let mut watch = store.watch("data").await.unwrap();
        watch.next().await.unwrap();
        for number in 0..100 {
            store.write(&format!("data/{number}"), "").await.unwrap();
        }
        assert_eq!(watch.next().await.unwrap(), "data");
        give_up(watch.next()).await;
        store.write("data/last", "").await.unwrap();
        assert_eq!(watch.next().await.unwrap(), "data/last");
    });
}

#[test]
fn a_watch_ends_when_it_is_dropped() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        let watches = all((0..50).map(|_| store.watch("data"))).await;
        assert_eq!(bench.server.borrow().watches(), 50);
        drop(watches);
        // One that is given up before it is there.
        give_up(store.watch("data")).await;
        store.write("data/x", "").await.unwrap();
        assert_eq!(bench.server.borrow().watches(), 0);
    });
    let mut watch = Box::pin(store.watch("data"));
    assert!(poll(&mut watch).is_pending());
    bench.settle();
    assert_eq!(bench.server.borrow().watches(), 1);
    drop(watch);
    bench.settle();
    assert_eq!(bench.server.borrow().watches(), 0);
    assert_eq!(store.connection().pending(), 0);
}

#[test]
fn a_handler_of_a_watch_may_ask_and_wait() {
    let bench = Bench::new();
    let store = bench.store.clone();
    let seen: Vec<_> = bench.run(async {
        let mut watch = store.watch(&format!("{HOME}/data/state")).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 10 {
            assert_eq!(watch.next().await.unwrap(), format!("{HOME}/data/state"));
            let state = store.read_number("data/state").await.unwrap_or(0_u32);
            store.write("data/state", format!("{}", state + 1)).await.unwrap();
            seen.push(state);
        }
        seen
    });
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn changes_by_others_wake_who_waits() {
    let bench = Bench::new();
    let store = bench.store.clone();
    let mut watch = bench.run(store.watch("control")).unwrap();
    bench.run(async { watch.next().await.unwrap() });
    bench.settle();
    let mut next = Box::pin(watch.next());
    assert!(poll(&mut next).is_pending());
    let path = format!("{HOME}/control/shutdown");
    bench.server.borrow_mut().announce(&[(path, false)]);
    assert_eq!(bench.run(next).unwrap(), "control/shutdown");
}

#[test]
fn a_watch_too_many_is_refused_and_forgotten() {
    let bench = Bench::new();
    bench.server.borrow_mut().watch_quota = 2;
    let store = bench.store.clone();
    bench.run(async {
        let first = store.watch("data").await.unwrap();
        let _second = store.watch("data").await.unwrap();
        assert_eq!(store.watch("data").await.unwrap_err(), StoreError::Quota);
        assert_eq!(store.watch("").await.unwrap_err(), StoreError::Invalid);
        drop(first);
        let mut third = store.watch("data").await.unwrap();
        third.next().await.unwrap();
    });
}
