//! Another end that does what bytes say.

extern crate std;

use std::{format, vec, vec::Vec};

use core::{
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Listener, RingSizes, Vchan, connect};
use crate::{
    fake::{DOM0, Guest},
    fuzz::{Script, with_guest},
    grants::{Access, Grant, GrantRef, fake::PeerPage},
    shared_page::HeapPage,
};

const LISTENS: &str = "/local/domain/7/data/vchan/0/test";
const SERVES: &str = "/local/domain/0/data/vchan/7/test";

async fn sleep(_: Duration) {}

/// Plays the other end of a channel: what is on its pages, and in XenStore.
pub fn vchan(bytes: &[u8]) {
    with_guest(|guest| {
        let mut script = Script(bytes);
        if script.flag() { client(guest, &mut script) } else { server(guest, &mut script) }
    });
}

/// It is the client.
fn client(guest: &Guest, script: &mut Script<'_>) {
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let accepted = guest.spawn(async move {
        let mut listener =
            Listener::bind(&store, sharing, DOM0, "test", RingSizes::default()).await?;
        let (vchan, lookout) = listener.accept().await?;
        Ok::<_, super::VchanError>((vchan, lookout, listener))
    });
    guest.settle();
    let value = |name: &str| guest.bench.value(&format!("{LISTENS}/{name}"))?.parse().ok();
    let (Some(reference), Some(port)) = (value("ring-ref"), value("event-channel")) else {
        panic!("nothing is published");
    };
    let page = PeerPage::map(sharing.grants, DOM0, GrantRef(reference), Access::ReadWrite);
    let Some(page) = page else { panic!("the page is not granted") };
    page.byte(20).store(1, Ordering::SeqCst);
    page.byte(23).store(1, Ordering::SeqCst);
    guest.raise(port);
    guest.settle();
    let Some(Ok((vchan, lookout, listener))) = accepted.take() else { panic!("it is not met") };
    drop(listener);
    guest.spawn(lookout.run(sleep));
    play(guest, script, &vchan, port, &|offset, value| {
        page.word(offset).store(value, Ordering::SeqCst);
    });
    drop((vchan, page));
    guest.settle();
}

/// It is the server, whose header and nodes are what bytes say.
fn server(guest: &Guest, script: &mut Script<'_>) {
    guest.face_itself();
    let grant = || -> Grant<HeapPage> {
        let page = HeapPage::zeroed();
        let granted = page.map(|page| guest.sharing.grants.grant(DOM0, page, Access::ReadWrite));
        let Some(Ok(grant)) = granted else { panic!("no page") };
        grant
    };
    let pages: Vec<_> = (0..4).map(|_| grant()).collect();
    let words = pages[0].page().words();
    let order = |script: &mut Script<'_>| u32::from(script.byte()) % 24;
    words[4].store(order(script) | order(script) << 16, Ordering::SeqCst);
    words[5].store(0x0001_0102, Ordering::SeqCst);
    for (word, page) in words[6..].iter().zip(&pages[1..]) {
        word.store(page.reference().0, Ordering::SeqCst);
    }
    let Ok(channel) = guest.sharing.events.alloc_unbound(DOM0) else { panic!("no channel") };
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let connected = guest.spawn(async move { connect(&store, sharing, DOM0, "test").await });
    guest.settle();
    let (reference, port) = match script.byte() {
        0 => (script.word(), script.word()),
        _ => (pages[0].reference().0, channel.port().number()),
    };
    guest.bench.put(&format!("{SERVES}/ring-ref"), format!("{reference}"), 0);
    guest.bench.put(&format!("{SERVES}/event-channel"), format!("{port}"), 0);
    guest.settle();
    if let Some(Ok((vchan, lookout))) = connected.take() {
        guest.spawn(lookout.run(sleep));
        let port = vchan.end().channel.port().number();
        play(guest, script, &vchan, port, &|offset, value| {
            words[offset / 4].store(value, Ordering::SeqCst);
        });
        drop(vchan);
    }
    // Those who wait for the other end are over, too.
    guest.bench.take_away(SERVES);
    guest.settle();
    drop(guest.take_tasks());
    guest.settle();
    drop((channel, pages));
    guest.face_others();
}

fn play(
    guest: &Guest,
    script: &mut Script<'_>,
    vchan: &Vchan,
    port: u32,
    write: &dyn Fn(usize, u32),
) {
    let mut cx = Context::from_waker(Waker::noop());
    let (output, input) = vchan.sizes();
    let most = output.max(input);
    while script.has_more() {
        let is_broken = vchan.end().failure.get().is_some();
        match script.byte() % 7 {
            0 => write(usize::from(script.short() % 1024) * 4, script.word()),
            1 => write(usize::from(script.byte() % 4) * 4, script.index()),
            2 => write(usize::from(script.byte() % 6) * 4, script.word()),
            3 => {
                guest.raise(port);
                guest.settle();
            }
            4 => {
                let mut buffer = vec![0; script.short().into()];
                if let Poll::Ready(Ok(count)) = vchan.poll_read(&mut cx, &mut buffer) {
                    assert!(count <= buffer.len().min(most) && (count == 0 || !is_broken));
                }
            }
            5 => {
                let bytes = vec![1; script.short().into()];
                if let Poll::Ready(Ok(count)) = vchan.poll_write(&mut cx, &bytes) {
                    assert!(count <= bytes.len().min(most) && !is_broken);
                }
            }
            _ => {
                let _ = vchan.poll_flush(&mut cx);
            }
        }
    }
}
