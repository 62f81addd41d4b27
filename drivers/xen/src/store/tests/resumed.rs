//! A guest that goes on in another domain, with another connection.

extern crate std;

use std::{boxed::Box, cell::Cell, format, string::ToString};

use crate::{
    incarnation::Incarnation,
    store::{
        Store, StoreError,
        fake::{Bench, Mischief, Task, all, give_up, poll},
    },
};

fn move_on(bench: &Bench) {
    Incarnation::begin();
    bench.resume();
}

#[test]
fn watches_are_registered_again_and_tell_so() {
    let bench = Bench::new();
    let store = bench.store.clone();
    let mut watch = bench.run(store.watch("data/a")).unwrap();
    let mut other = bench.run(store.watch("data/b")).unwrap();
    bench.run(async {
        watch.next().await.unwrap();
        give_up(watch.next()).await;
    });
    drop(bench.run(store.watch("data/c")).unwrap());
    move_on(&bench);
    bench.run(async {
        assert_eq!(watch.next().await.unwrap(), "data/a");
        assert_eq!(other.next().await.unwrap(), "data/b");
        store.write("data/a/1", "").await.unwrap();
    });
    bench.settle();
    assert_eq!(bench.server.borrow().watches(), 2);
    // The server says so as well.
    assert_eq!(bench.run(watch.next()).unwrap(), "data/a");
    assert_eq!(bench.run(watch.next()).unwrap(), "data/a/1");
    drop((watch, other));
    bench.settle();
    assert_eq!((bench.server.borrow().watches(), store.connection().pending()), (0, 0));
}

#[test]
fn requests_without_a_reply_are_asked_again() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.server.borrow_mut().mischief = Mischief::Silent;
    let mut futures: std::vec::Vec<_> = (0..100)
        .map(|number| {
            let store = store.clone();
            Box::pin(async move { store.write(&format!("data/{number}"), "x".repeat(20)).await })
        })
        .collect();
    let mut registered = Box::pin(store.watch("data"));
    let mut given_up = Box::pin(store.watch("name"));
    assert!(poll(&mut registered).is_pending() && poll(&mut given_up).is_pending());
    assert!(futures.iter_mut().all(|future| poll(future).is_pending()));
    // Some are sent, one in part; the others do not fit into the ring.
    bench.settle();
    drop(given_up);
    move_on(&bench);
    bench.server.borrow_mut().mischief = Mischief::None;
    let mut watch = bench.run(registered).unwrap();
    assert!(bench.run(all(futures)).iter().all(Result::is_ok));
    assert_eq!(bench.run(watch.next()).unwrap(), "data");
    assert_eq!(bench.run(store.directory("data")).unwrap().len(), 100);
    bench.settle();
    assert_eq!((bench.server.borrow().watches(), store.connection().pending()), (1, 1));
}

#[test]
fn transactions_begin_anew() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async { store.write("data/count", "5").await.unwrap() });
    // At each point of a transaction.
    for point in 0..4 {
        let runs = Cell::new(0);
        let mut counted = Box::pin(store.transaction(async |t| {
            runs.set(runs.get() + 1);
            let count: u32 = t.read_number("data/count").await?;
            t.write("data/count", (count + 1).to_string()).await
        }));
        for _ in 0..point {
            assert!(poll(&mut counted).is_pending());
            bench.settle();
        }
        move_on(&bench);
        // Another one gets its number.
        let mut other = Box::pin(store.transaction(async |t| t.read("name").await));
        assert!(poll(&mut other).is_pending());
        bench.settle();
        assert_eq!(bench.run(counted), Ok(()), "{point}");
        assert!(bench.run(other).is_ok());
        assert!(runs.get() >= 1);
        assert_eq!(bench.run(store.read_number("data/count")), Ok(6 + point));
        bench.settle();
        assert_eq!((bench.in_use(), store.connection().pending()), ((0, 0), 0));
    }
}

#[test]
fn a_transaction_that_is_over_harms_no_other() {
    let bench = Bench::new();
    let store = bench.store.clone();
    let mut old = Box::pin(store.transaction(async |t| {
        t.read("name").await?;
        core::future::pending::<Result<(), StoreError>>().await
    }));
    for _ in 0..3 {
        assert!(poll(&mut old).is_pending());
        bench.settle();
    }
    // Its number has come, and nobody has looked at it.
    let mut unheard = Box::pin(store.transaction(async |t| t.read("name").await));
    assert!(poll(&mut unheard).is_pending());
    bench.settle();
    assert_eq!(bench.in_use().1, 2);
    move_on(&bench);
    let new = store.transaction(async |t| {
        t.write("data/x", "1").await?;
        // Both would be rolled back now.
        t.read("name").await?;
        t.write("data/y", "2").await
    });
    let mut new = Box::pin(new);
    for _ in 0..2 {
        assert!(poll(&mut new).is_pending());
        bench.settle();
    }
    drop((old, unheard));
    bench.settle();
    assert_eq!(bench.run(new), Ok(()));
    assert_eq!(bench.value(&home("data/y")).as_deref(), Some("2"));
    bench.settle();
    assert_eq!(bench.in_use(), (0, 0));
}

fn home(path: &str) -> std::string::String {
    format!("{}/{path}", crate::store::fake::HOME)
}

async fn work(store: &Store, number: u32) {
    let node = format!("data/{number}");
    let mut watch = store.watch(&node).await.unwrap();
    for value in 0..5 {
        store.write(&node, value.to_string()).await.unwrap();
        let up = || {
            store.transaction(async |t| {
                let sum: u32 = t.read_number("data/sum").await?;
                t.write("data/sum", (sum + 1).to_string()).await
            })
        };
        // Here, whatever the others change stands in the way.
        while up().await.is_err_and(|error| error == StoreError::Again) {}
        while store.read_number(&node).await != Ok(value) {
            watch.next().await.unwrap();
        }
    }
}

#[test]
fn everybody_goes_on_wherever_they_were() {
    for (point, step) in (0..60).flat_map(|point| [(point, usize::MAX), (point * 3, 7)]) {
        let bench = Bench::new();
        bench.server.borrow_mut().step = step;
        let store = bench.store.clone();
        bench.run(async { store.write("data/sum", "0").await.unwrap() });
        let mut steps = 0;
        let mover = core::future::poll_fn(|cx| {
            steps += 1;
            if steps == point {
                move_on(&bench);
            }
            if steps > point {
                return core::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            core::task::Poll::Pending
        });
        let mut tasks: std::vec::Vec<Task<'_, ()>> = std::vec![Box::pin(mover)];
        tasks.extend((0..3).map(|number| Box::pin(work(&store, number)) as Task<'_, ()>));
        bench.run(all(tasks));
        let sum: u32 = bench.run(store.read_number("data/sum")).unwrap();
        // What was committed may have been done again, as nobody had heard of it.
        assert!((15..=18).contains(&sum), "{sum} at {point}");
        bench.settle();
        assert_eq!((bench.in_use(), store.connection().pending()), ((0, 0), 0));
    }
}
