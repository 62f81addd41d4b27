//! Transactions.

extern crate std;

use std::{boxed::Box, format};

use core::cell::Cell;

use crate::{
    fake::Waiter,
    store::{
        Store, StoreError, Transaction,
        fake::{Bench, all, give_up, poll},
    },
};

async fn count_up(store: &Store) -> Result<(), StoreError> {
    store
        .transaction(async |t| {
            let count: u32 = t.read_number("data/count").await?;
            t.write("data/count", format!("{}", count + 1)).await
        })
        .await
}

#[test]
fn overtaken_transactions_are_done_again() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        store.write("data/count", "0").await.unwrap();
        let results = all((0..8).map(|_| count_up(&store))).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(store.read_number("data/count").await, Ok(8));
        bench.server.borrow_mut().conflicts = 5;
        count_up(&store).await.unwrap();
        assert_eq!(store.read_number("data/count").await, Ok(9));
    });
    assert_eq!(bench.server.borrow().transactions(), 0);
    bench.settle();
    let served = bench.server.borrow().served;
    bench.run(store.transaction(async |t| t.write("data/count", "1").await)).unwrap();
    bench.settle();
    assert_eq!(bench.server.borrow().served, served + 3);
}

#[test]
fn a_transaction_that_never_succeeds_is_given_up() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.server.borrow_mut().conflicts = u32::MAX;
    let runs = Cell::new(0);
    let result = bench.run(store.transaction(async |t| {
        runs.set(runs.get() + 1);
        t.write("data/x", "").await
    }));
    assert_eq!(result, Err(StoreError::Again));
    assert_eq!(runs.get(), Transaction::TRIES);
}

#[test]
fn what_fails_or_is_dropped_changes_nothing() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        let failed = store
            .transaction(async |t| {
                t.write("data/x", "1").await?;
                assert_eq!(t.read("data/x").await.unwrap(), b"1");
                assert_eq!(store.read("data/x").await, Err(StoreError::NotFound));
                t.read("data/y").await
            })
            .await;
        assert_eq!(failed, Err(StoreError::NotFound));
        // More than the server has at a time wait for each other.
        let many = all((0..100).map(|_| store.transaction(async |t| t.read("name").await))).await;
        assert!(many.iter().all(Result::is_ok));
        // Those that were given up while they waited take no turn.
        give_up(all((0..100).map(|_| store.transaction(async |t| t.read("name").await)))).await;
        assert!(store.transaction(async |t| t.read("name").await).await.is_ok());
        assert_eq!(store.read("data/x").await, Err(StoreError::NotFound));
    });
    assert_eq!(bench.server.borrow().transactions(), 0);
}

#[test]
fn who_waits_for_a_turn_is_woken() {
    let bench = Bench::new();
    let start = || Transaction::start(bench.store.connection());
    let mut open = bench.run(all((0..8).map(|_| start())));
    let (waiter, mut next) = (Waiter::new(), Box::pin(start()));
    assert!(waiter.poll(|cx| next.as_mut().poll(cx)).is_pending());
    bench.settle();
    assert!(!waiter.is_woken(), "there are as many as there may be");
    drop(open.pop());
    assert!(waiter.is_woken());
    assert!(bench.run(next).is_ok());
}

/// A transaction that is dropped after any number of steps leaves nothing open, and is done in full
/// or not at all.
#[test]
fn a_transaction_may_be_dropped_at_any_moment() {
    for (steps, parity) in (0..40).flat_map(|steps| [(steps, 0), (steps, 1)]) {
        let bench = Bench::new();
        let store = bench.store.clone();
        let mut transaction = Box::pin(store.transaction(async |t| {
            t.write("data/x", "1").await?;
            t.write("data/y", "1").await
        }));
        for step in 0..steps {
            if poll(&mut transaction).is_ready() {
                break;
            }
            if step % 2 == parity {
                bench.step();
            }
        }
        drop(transaction);
        bench.settle();
        assert_eq!(bench.server.borrow().transactions(), 0, "after {steps} steps");
        assert_eq!(store.connection().pending(), 0);
        bench.run(async {
            let (x, y) = (store.read("data/x").await, store.read("data/y").await);
            assert_eq!(x.is_ok(), y.is_ok());
        });
    }
}

#[test]
fn a_commit_that_is_dropped_unsent_does_not_happen() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        let transaction = Transaction::start(store.connection()).await.unwrap();
        transaction.write("data/x", "1").await.unwrap();
        give_up(transaction.commit()).await;
        assert_eq!(store.read("data/x").await, Err(StoreError::NotFound));
    });
    assert_eq!(bench.server.borrow().transactions(), 0);
}
