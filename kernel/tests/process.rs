//! The kernel in a process, with real descriptors in the place of interrupts.
#![forbid(unsafe_code)]

use std::{future::poll_fn, io::Write, os::unix::net::UnixStream, thread, time::Duration};

use mayfly::{executor, time};
use mayfly_arch::poll::{self, Interest, Watch};

/// A watched socket, and its other end.
fn pair() -> (Watch, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    (Watch::new(ours.into()), theirs)
}

#[test]
fn a_descriptor_wakes_a_process_that_waits() {
    poll::install().expect("an eventfd");
    let (watch, mut peer) = pair();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        peer.write_all(b"x").expect("room");
        peer
    });
    executor::run(poll_fn(|cx| watch.poll_ready(cx, Interest::Read)));
    writer.join().expect("no panic");
}

#[test]
fn a_process_that_is_busy_hears_its_devices() {
    poll::install().expect("an eventfd");
    let (watch, mut peer) = pair();
    peer.write_all(b"x").expect("room");
    executor::run(async {
        executor::spawn(async {
            loop {
                executor::yield_now().await;
            }
        })
        .detach();
        let ready = poll_fn(|cx| watch.poll_ready(cx, Interest::Read));
        time::timeout(Duration::from_secs(10), ready).await.expect("heard");
    });
}
