//! A server that can begin anew, and has to.

extern crate std;

use std::{boxed::Box, format, string::ToString, vec};

use crate::store::{
    StoreError,
    fake::{Bench, HOME, Mischief, Task, all},
};

/// What a server does that ends the connection.
const MISCHIEF: [Mischief; 5] = [
    Mischief::UnknownRequest,
    Mischief::OtherType,
    Mischief::TooLong,
    Mischief::EndlessError,
    Mischief::BadEvent,
];

#[test]
fn a_server_that_breaks_the_protocol_is_asked_to_begin_anew() {
    for mischief in MISCHIEF {
        let bench = Bench::new();
        bench.offer(1, 0);
        let store = bench.store.clone();
        bench.run(async {
            let mut watch = store.watch("data").await.unwrap();
            watch.next().await.unwrap();
            bench.server.borrow_mut().mischief = mischief;
            let results = all((0..5).map(|_| store.read("name"))).await;
            assert_eq!(results, vec![Ok(b"guest".to_vec()); 5], "{mischief:?}");
            assert_eq!(watch.next().await.as_deref(), Ok("data"));
            store.write("data/x", "1").await.unwrap();
        });
        assert_eq!((bench.end.get(), bench.server.borrow().begun), (None, 1));
        bench.settle();
        assert_eq!((bench.in_use(), store.connection().pending()), ((0, 0), 0));
    }
}

#[test]
fn transactions_are_done_again() {
    let bench = Bench::new();
    bench.offer(1, 0);
    let store = bench.store.clone();
    bench.run(async { store.write("data/count", "0").await.unwrap() });
    let up = async || {
        store
            .transaction(async |t| {
                let count: u32 = t.read_number("data/count").await?;
                if bench.server.borrow().begun == 0 {
                    bench.server.borrow_mut().mischief = Mischief::OtherType;
                }
                t.write("data/count", (count + 1).to_string()).await
            })
            .await
    };
    let tasks = (0..2).map(|_| Box::pin(up()) as Task<'_, Result<(), StoreError>>);
    assert_eq!(bench.run(all(tasks)), [Ok(()), Ok(())]);
    assert_eq!(bench.value(&format!("{HOME}/data/count")).as_deref(), Some("2"));
    assert_eq!(bench.server.borrow().begun, 1);
}

#[test]
fn what_the_server_says_is_wrong_makes_it_begin_anew() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async { store.read("name").await.unwrap() });
    // It does not look at the rings any more.
    bench.offer(3, 2);
    bench.server.borrow_mut().mischief = Mischief::Silent;
    assert_eq!(bench.run(store.read("name")).as_deref(), Ok(&b"guest"[..]));
    assert_eq!(bench.server.borrow().begun, 1);
    // One that tells of errors and cannot begin anew ends; the word means nothing where it does not.
    for (features, end) in [(2, Some(StoreError::Protocol)), (0, None)] {
        let bench = Bench::new();
        bench.offer(features, 1);
        assert_eq!(bench.run(bench.store.read("name")).err(), end);
        assert_eq!(bench.end.get(), end);
    }
}

#[test]
fn a_server_that_does_not_mend_is_given_up() {
    let bench = Bench::new();
    bench.offer(1, 0);
    let store = bench.store.clone();
    bench.server.borrow_mut().mischief = Mischief::TooLong;
    bench.server.borrow_mut().is_incorrigible = true;
    assert_eq!(bench.run(store.read("name")), Err(StoreError::Protocol));
    assert_eq!((bench.end.get(), bench.server.borrow().begun), (Some(StoreError::Protocol), 8));
    assert!(bench.polls.get() < 100, "{}", bench.polls.get());
}
