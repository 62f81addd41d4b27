//! A server that breaks the protocol.

extern crate std;

use std::{boxed::Box, vec, vec::Vec};

use core::sync::atomic::Ordering;

use proptest::prelude::*;

use crate::store::{
    StoreError,
    fake::{Bench, Mischief, all, poll},
    fuzz::ask,
};

#[test]
fn what_makes_no_sense_ends_the_connection_for_everybody() {
    for mischief in Mischief::ENDING {
        let bench = Bench::new();
        let store = bench.store.clone();
        bench.run(async {
            let mut watch = store.watch("data").await.unwrap();
            watch.next().await.unwrap();
            bench.server.borrow_mut().mischief = mischief;
            let results = all((0..5).map(|_| store.read("name"))).await;
            assert_eq!(results, vec![Err(StoreError::Protocol); 5], "{mischief:?}");
            assert_eq!(watch.next().await, Err(StoreError::Protocol));
            assert_eq!(store.write("data/x", "").await, Err(StoreError::Protocol));
        });
        assert_eq!(bench.end.get(), Some(StoreError::Protocol));
        assert_eq!(store.connection().pending(), 0);
    }
}

#[test]
fn answers_without_meaning_are_errors() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.server.borrow_mut().mischief = Mischief::Nonsense;
    bench.run(async {
        assert_eq!(store.directory("data").await, Ok(vec![]));
        assert_eq!(store.directory("").await, Err(StoreError::Invalid));
        assert_eq!(store.read_text("name").await, Err(StoreError::Invalid));
        assert_eq!(store.permissions("name").await, Err(StoreError::Protocol));
        assert_eq!(store.domain_path(7).await, Err(StoreError::Protocol));
        let result = store.transaction(async |_| Ok(())).await;
        assert_eq!(result, Err(StoreError::Protocol));
    });
}

#[test]
fn indices_that_make_no_sense_end_the_connection() {
    for (offset, value) in [(0x800, 1), (0x80c, 1025), (0x80c, u32::MAX)] {
        let bench = Bench::new();
        let store = bench.store.clone();
        bench.page.word(offset).store(value, Ordering::Relaxed);
        bench.server.borrow_mut().mischief = Mischief::Silent;
        assert_eq!(bench.run(store.read("name")), Err(StoreError::Protocol));
    }
}

pub(super) fn message(kind: u32, request: u32, length: u32, payload: &[u8]) -> Vec<u8> {
    let header = [kind, request, 0, length].map(u32::to_le_bytes).concat();
    [&header, payload].concat()
}

/// Texts that a payload may be.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    const TEXTS: &[&str] =
        &["", "OK\0", "12\0", "0\0", "ENOENT\0", "EAGAIN\0", "E2BIG\0", "data\x001\0", "n7\0"];
    prop_oneof![
        3 => prop::sample::select(TEXTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

/// What the server may send: replies to the first requests of [`ask`], events, and less sense.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const REQUESTS: &[(u32, u32)] =
        &[(4, 1), (6, 2), (1, 3), (3, 4), (10, 5), (2, 6), (7, 7), (22, 6), (22, 7)];
    let reply = (prop::sample::select(REQUESTS), prop::bool::weighted(0.2), payload());
    let event = payload();
    let header = (0..24_u32, 0..12_u32, prop_oneof![0..40_u32, 4090..4100_u32, any::<u32>()]);
    prop_oneof![
        8 => reply.prop_map(|((kind, request), is_error, payload)| {
            let kind = if is_error { 16 } else { kind };
            message(kind, request, payload.len() as u32, &payload)
        }),
        3 => event.prop_map(|payload| message(15, 0, payload.len() as u32, &payload)),
        1 => header.prop_map(|(kind, request, length)| message(kind, request, length, b"")),
        1 => payload(),
    ]
}

proptest! {
    #[test]
    fn no_bytes_of_the_server_do_harm(
        start: u32,
        features in 0..4_u32,
        error in 0..2_u32,
        pieces in prop::collection::vec((piece(), prop::option::weighted(0.05, 0..2048_u32)), 0..40),
    ) {
        let bench = Bench::at(start, start);
        bench.offer(features, error);
        bench.server.borrow_mut().mischief = Mischief::Silent;
        bench.server.borrow_mut().is_incorrigible = true;
        let store = bench.store.clone();
        let mut asking = Some(Box::pin(ask(&store)));
        let (bytes, produced) = (&bench.page.bytes()[0x400..0x800], bench.page.word(0x80c));
        let mut at = start;
        for (piece, jump) in pieces {
            if asking.as_mut().is_some_and(|asking| poll(asking).is_ready()) {
                asking = None;
            }
            bench.settle();
            for byte in piece {
                bytes[at as usize % 1024].store(byte, Ordering::Relaxed);
                at = at.wrapping_add(1);
            }
            produced.store(at.wrapping_add(jump.unwrap_or(0)), Ordering::Relaxed);
            bench.notify_guest();
            let before = bench.polls.get();
            while bench.step() {
                prop_assert!(bench.polls.get() < before + 100);
            }
        }
        drop(asking);
        bench.stop_driver();
        prop_assert_eq!(store.connection().pending(), 0);
    }
}
