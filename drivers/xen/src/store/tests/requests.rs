//! Many requests, split messages, and requests that are given up.

extern crate std;

use std::{boxed::Box, format, string::ToString, vec::Vec};

use core::sync::atomic::Ordering;

use proptest::prelude::*;

use crate::store::{
    Store, StoreError,
    fake::{Bench, Mischief, Server, Task, all, give_up, poll},
};

async fn write_and_read(store: &Store, number: usize) {
    let path = format!("data/{}", number % 100);
    store.write(&path, "x".repeat(number % 100)).await.unwrap();
    assert_eq!(store.read(&path).await.unwrap().len(), number % 100);
}

#[test]
fn a_thousand_requests_wait_at_the_same_time() {
    for is_reversed in [false, true] {
        let bench = Bench::new();
        bench.server.borrow_mut().is_reversed = is_reversed;
        let store = bench.store.clone();
        bench.run(all((0..1000).map(|number| write_and_read(&store, number))));
        assert_eq!(bench.server.borrow().served, 2000);
        assert_eq!(store.connection().pending(), 0);
    }
}

#[test]
fn what_is_given_up_before_it_is_sent_is_not_sent() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        give_up(store.write("data/x", "1")).await;
        assert_eq!(store.connection().pending(), 0);
        assert_eq!(store.read("data/x").await, Err(StoreError::NotFound));
    });
    assert_eq!(bench.server.borrow().served, 1);
}

#[test]
fn what_is_given_up_on_its_way_leaves_nothing_behind() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.server.borrow_mut().mischief = Mischief::Silent;
    let write = |number| {
        let store = &store;
        Box::pin(async move { store.write(&format!("data/{number}"), "x".repeat(10)).await })
    };
    let mut futures: Vec<_> = (0..300).map(write).collect();
    assert!(futures.iter_mut().all(|future| poll(future).is_pending()));
    bench.settle();
    drop(futures);
    bench.server.borrow_mut().mischief = Mischief::None;
    bench.settle();
    // What did not fit into the ring was never sent; the last of it may have been in the middle.
    assert!((1..100).contains(&bench.server.borrow().served));
    assert_eq!(store.connection().pending(), 0);
    bench.run(async { store.write("data/y", "1").await.unwrap() });
}

#[test]
fn a_store_without_its_driver_says_so() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        let mut watch = store.watch("data").await.unwrap();
        watch.next().await.unwrap();
        bench.server.borrow_mut().mischief = Mischief::Silent;
        let stop = async { bench.stop_driver() };
        let read = async { assert_eq!(store.read("name").await, Err(StoreError::Disconnected)) };
        let next = async { assert_eq!(watch.next().await, Err(StoreError::Disconnected)) };
        let futures: [Task<'_, ()>; 3] = [Box::pin(read), Box::pin(next), Box::pin(stop)];
        all(futures).await;
        assert_eq!(store.read("name").await, Err(StoreError::Disconnected));
        assert!(store.watch("data").await.is_err());
    });
}

#[test]
fn a_server_that_comes_later_is_waited_for() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.page.word(0x814).store(1, Ordering::Relaxed);
    let mut read = Box::pin(store.read("name"));
    assert!(poll(&mut read).is_pending());
    bench.settle();
    assert_eq!(bench.page.word(0x804).load(Ordering::Relaxed), 0);
    bench.page.word(0x814).store(0, Ordering::Relaxed);
    bench.notify_guest();
    assert_eq!(bench.run(read).unwrap(), b"guest");
}

#[test]
fn what_came_for_an_earlier_system_is_passed_over() {
    let bench = Bench::new();
    bench.page.bytes()[0x400].store(7, Ordering::Relaxed);
    bench.page.word(0x80c).store(100, Ordering::Relaxed);
    let store = bench.store.clone();
    // The server of the tests begins where the ring says.
    *bench.server.borrow_mut() = Server::new(bench.page);
    assert_eq!(bench.run(store.read("name")).unwrap(), b"guest");
    assert_eq!(bench.page.word(0x808).load(Ordering::Relaxed), 100 + 16 + 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn messages_may_be_split_anywhere(
        requests: u32,
        replies: u32,
        step in 1..200_usize,
        lengths in prop::collection::vec(0..4000_usize, 1..8),
    ) {
        let bench = Bench::at(requests, replies);
        bench.server.borrow_mut().step = step;
        let store = bench.store.clone();
        bench.run(all(lengths.iter().enumerate().map(|(number, &length)| {
            let store = &store;
            async move {
                let path = ["data/", &number.to_string()].concat();
                let value: Vec<u8> = (0..length).map(|at| (at + number) as u8).collect();
                store.write(&path, &value).await.unwrap();
                assert!(store.read(&path).await.unwrap() == value);
            }
        })));
    }
}
