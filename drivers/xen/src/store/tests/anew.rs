//! A server that can begin anew, and has to.

extern crate std;

use core::{sync::atomic::Ordering, task::Poll};
use std::{boxed::Box, format, string::ToString, vec};

use super::hostile::message;
use crate::store::{
    StoreError,
    fake::{Bench, HOME, Mischief, Task, all, poll},
    wire::HEADER,
};

#[test]
fn a_server_that_breaks_the_protocol_is_asked_to_begin_anew() {
    for mischief in Mischief::ENDING {
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

/// It may have written before the guest looks; what it had written before it began anew is gone.
#[test]
fn nothing_is_missed_of_what_a_server_says_first() {
    let bench = Bench::new();
    let store = bench.store.clone();
    let mut watch = bench.run(store.watch("data")).unwrap();
    bench.run(watch.next()).unwrap();
    bench.offer(3, 2);
    {
        let mut server = bench.server.borrow_mut();
        (server.mischief, server.is_incorrigible) = (Mischief::Silent, true);
    }
    bench.notify_guest();
    assert!(bench.step() && bench.server.borrow().begun == 1);
    let event = message(15, 0, 9, b"data/x\x001\0");
    for part in [0..HEADER, HEADER..event.len()] {
        for at in part.clone() {
            bench.page.bytes()[0x400 + at].store(event[at], Ordering::Relaxed);
        }
        bench.page.word(0x80c).store(part.end as u32, Ordering::Release);
        bench.notify_guest();
        bench.settle();
    }
    // Anything may have changed meanwhile, and this has.
    for changed in ["data", "data/x"] {
        assert_eq!(poll(&mut Box::pin(watch.next())), Poll::Ready(Ok(changed.to_string())));
    }
}
