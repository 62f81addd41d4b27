//! Channels, against the other side as libxenvchan is, against themselves, and against what means no
//! good.

extern crate std;

use std::{rc::Rc, string::String, vec, vec::Vec};

use core::{cell::RefCell, sync::atomic::Ordering, time::Duration};

use super::*;
use crate::{
    fake::{DOM0, Guest, Waiter},
    grants::{Access, DomainId, Grant, GrantRef, fake::PeerPage},
    shared_page::HeapPage,
    store::fake::{DOMAIN, HOME},
};

mod both;
mod client;
mod hostile;
mod model;
mod resumed;
mod server;

/// This guest itself, as the other side.
const SELF: DomainId = DomainId(DOMAIN);

/// What a task has got so far.
type Collected = Rc<RefCell<Vec<u8>>>;

/// How a task has ended.
type Ending<T> = Rc<core::cell::Cell<Option<Result<T, VchanError>>>>;

/// A task that listens, and gives its first connection.
fn accept(guest: &Guest, client: DomainId, sizes: RingSizes) -> Ending<Vchan> {
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    guest.spawn(async move {
        let mut listener = Listener::bind(&store, sharing, client, "test", sizes).await?;
        let (vchan, lookout) = listener.accept().await?;
        vchan.accompany((listener, lookout));
        Ok(vchan)
    })
}

/// A task that connects.
fn connect_to(guest: &Guest, server: DomainId) -> Ending<Vchan> {
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    guest.spawn(async move {
        let (vchan, lookout) = connect(&store, sharing, server, "test").await?;
        vchan.accompany(lookout);
        Ok(vchan)
    })
}

/// A task that reads until the end, so many bytes at a time.
fn read_all(guest: &Guest, mut half: ReadHalf, step: usize) -> (Collected, Ending<()>) {
    let collected = Collected::default();
    let place = Rc::clone(&collected);
    let ending = guest.spawn(async move {
        let mut buffer = vec![0; step];
        loop {
            match half.read(&mut buffer).await? {
                0 => return Ok(()),
                count => place.borrow_mut().extend_from_slice(&buffer[..count]),
            }
        }
    });
    (collected, ending)
}

/// A task that writes all of it, so many bytes at a time, and closes.
fn write_all(guest: &Guest, mut half: WriteHalf, data: Vec<u8>, step: usize) -> Ending<()> {
    guest.spawn(async move {
        for part in data.chunks(step) {
            half.write_all(part).await?;
        }
        half.flush().await
    })
}

/// Bytes that do not repeat soon.
fn data(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed as u8)
        .collect()
}

/// A kernel's sleep, for tests in which nobody sleeps long.
async fn sleep(_: Duration) {}

#[test]
fn ports_have_names_that_can_be_in_a_path() {
    for name in ["", "a/b", "ä", "a b", "..", &"x".repeat(65)] {
        assert_eq!(check_name(name), Err(VchanError::Name), "{name}");
    }
    for name in ["a", "A-b_9", &"x".repeat(64)] {
        assert_eq!(check_name(name), Ok(()));
    }
}
