//! A server that sends what bytes say.

extern crate std;

use std::boxed::Box;

use core::sync::atomic::Ordering;

use super::{
    Store, StoreError,
    fake::{Bench, Mischief, Task, all, poll},
    wire::Header,
};
use crate::{fuzz::Script, shared_page::SharedPage};

/// Requests of most kinds, at the same time.
pub(super) async fn ask(store: &Store) {
    let watch = async {
        let mut watch = store.watch("data").await?;
        loop {
            watch.next().await?;
        }
    };
    let transaction = store.transaction(async |t| t.read("name").await.map(drop));
    let directory = async { store.directory("data").await.map(drop) };
    let permissions = async { store.permissions("data").await.map(drop) };
    let path = async { store.domain_path(7).await.map(drop) };
    let tasks: [Task<'_, Result<(), StoreError>>; 5] = [
        Box::pin(watch),
        Box::pin(transaction),
        Box::pin(directory),
        Box::pin(permissions),
        Box::pin(path),
    ];
    all(tasks).await;
}

/// Plays XenStore: what is on its ring.
pub fn store(bytes: &[u8]) {
    std::thread_local! {
        static PAGE: SharedPage = SharedPage::new();
    }
    let page = PAGE.with(|page| *page);
    page.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    let mut script = Script(bytes);
    let start = script.index();
    let bench = Bench::on(page, start, start);
    bench.server.borrow_mut().mischief = Mischief::Silent;
    // It leaves the rings to the script, also when it has begun anew.
    bench.server.borrow_mut().is_incorrigible = true;
    let store = bench.store.clone();
    let mut asking = Some(Box::pin(ask(&store)));
    let (ring, produced) = (&page.bytes()[0x400..0x800], page.word(0x80c));
    let mut at = start;
    while script.has_more() {
        if asking.as_mut().is_some_and(|asking| poll(asking).is_ready()) {
            asking = None;
        }
        bench.settle();
        let mut send = |bytes: &[u8]| {
            for byte in bytes {
                ring[at as usize % ring.len()].store(*byte, Ordering::Relaxed);
                at = at.wrapping_add(1);
            }
        };
        match script.byte() % 8 {
            // A message, of which the length may be right.
            kind @ 0..5 => {
                let (kind, request) = match kind {
                    0 => (15, 0),
                    1 => (16, script.byte().into()),
                    _ => (script.byte().into(), script.byte().into()),
                };
                let count = usize::from(script.byte() % 64);
                let payload = script.bytes(count);
                let header = Header { kind, request, transaction: 0, length: payload.len() as u32 };
                send(&header.to_bytes());
                send(payload);
            }
            5 => {
                let count = script.byte().into();
                send(script.bytes(count));
            }
            6 => {
                let word = page.word(0x800 + usize::from(script.byte() % 8) * 4);
                word.store(script.index(), Ordering::Relaxed);
            }
            _ => page.word(0x80c).store(at.wrapping_add(script.index()), Ordering::Relaxed),
        }
        produced.store(at, Ordering::Relaxed);
        bench.notify_guest();
        let before = bench.polls.get();
        while bench.step() {
            assert!(bench.polls.get() < before + 100, "it never comes to rest");
        }
    }
    drop(asking);
    bench.stop_driver();
    assert_eq!(store.connection().pending(), 0);
}
