//! netback.

use core::num::NonZeroU16;
use core::task::Poll;
use std::{boxed::Box, vec::Vec};

use mayfly_device::{FrameBuf, NetDevice};

use super::{Script, with_guest};
use crate::{
    Sharing,
    fake::{Back, BackRing, DOM0, Started, Waiter, Working},
    grants::{Access, GrantRef, fake::PeerPage},
    net,
    store::Store,
};

const FRONT: &[(&str, &str)] = &[("mac", "00:16:3e:01:02:03"), ("handle", "0")];
const FEATURES: &[(&str, &str)] = &[
    ("feature-rx-copy", "1"),
    ("feature-ipv6-csum-offload", "1"),
    ("feature-sg", "1"),
    ("feature-gso-tcpv4", "1"),
    ("feature-gso-tcpv6", "1"),
];

/// Both rings.
type Rings = (BackRing<3>, BackRing<2>);

async fn start(store: &Store, sharing: Sharing, front: &'static str) -> Started<dyn NetDevice> {
    net::start(store, sharing, front, 1).await
}

/// Plays a netback: what is on the rings and in frames.
pub fn net(bytes: &[u8]) {
    with_guest(|guest| {
        let mut script = Script(bytes);
        let features = &FEATURES[..if script.flag() { 2 } else { 5 }];
        let back = Back::new(guest, "device/vif/0");
        let map = |back: &Back<'_>| -> Option<Rings> {
            let ring = |name| back.reference(name);
            let transmit = BackRing::map(guest, ring("tx-ring-ref"))?;
            Some((transmit, BackRing::map(guest, ring("rx-ring-ref"))?))
        };
        let (Working { mut device, .. }, rings) = back.connect(start, FRONT, features, map);
        let Some(mut rings) = rings else { panic!("the rings are not granted") };
        let (waiter, mut kept) = (Waiter::new(), Vec::new());
        while script.has_more() {
            step(&mut script, &mut device, &mut rings, &back, &mut kept);
            take(&mut device, &waiter);
        }
        drop((device, rings, kept));
        back.detach();
        guest.settle();
    });
}

fn step(
    script: &mut Script<'_>,
    device: &mut Box<dyn NetDevice>,
    (transmit, receive): &mut Rings,
    back: &Back<'_>,
    kept: &mut Vec<PeerPage>,
) {
    match script.byte() % 10 {
        0 => send(device, script.short().into(), false),
        1 => send(device, script.short().into(), true),
        2 => {
            let page = if script.flag() { &transmit.page } else { &receive.page };
            page.write(usize::from(script.short() % 1024) * 4, &script.word().to_le_bytes());
        }
        3 => {
            let page = if script.flag() { &transmit.page } else { &receive.page };
            page.write(usize::from(script.byte() % 4) * 4, &script.index().to_le_bytes());
        }
        4 => {
            let word = script.index() | u32::from(script.byte()) << 16;
            transmit.answer(&[word]);
        }
        5 => {
            if let Some([_, _, third]) = transmit.take_if_sane() {
                transmit.answer(&[third & 0xffff | u32::from(script.byte()) << 16]);
            }
        }
        6 => {
            receive.answer(&[script.word(), script.word()]);
        }
        7 => {
            let Some([id, reference]) = receive.take_if_sane() else { return };
            let page = PeerPage::map(
                back.guest.sharing.grants,
                DOM0,
                GrantRef(reference),
                Access::ReadWrite,
            );
            let count = usize::from(script.byte()) * 4;
            let content: Vec<u8> = script.bytes(count).into();
            if let Some(page) = &page {
                page.write(0, &content);
            }
            let (flags, size) = (script.byte() % 32, script.short() % 4200);
            receive.answer(&[id & 0xffff, u32::from(flags) | u32::from(size) << 16]);
            if script.byte() == 1 {
                kept.extend(page);
            }
        }
        8 => {
            if let Some([_, _]) = receive.take_if_sane() {
                receive.answer(&[script.word(), script.word()]);
            }
        }
        _ => back.set_state(script.byte() % 10),
    }
}

fn send(device: &mut Box<dyn NetDevice>, length: usize, is_long: bool) {
    let pool = if is_long { device.large_pool() } else { Some(device.pool()) };
    if device.transmit_room() > 0
        && let Some(mut frame) = pool.and_then(|pool| FrameBuf::allocate(&pool, 0))
    {
        let length = if is_long { length } else { length % 2048 };
        if frame.set_range(0, length) {
            let _ = match NonZeroU16::new(1448).filter(|_| is_long) {
                Some(size) => device.transmit_segmented(frame, size),
                None => device.transmit(frame),
            };
        }
    }
    device.flush();
}

/// Takes what there is, which has an end.
fn take(device: &mut Box<dyn NetDevice>, waiter: &Waiter) {
    for _ in 0..2000 {
        if let Some(received) = device.receive() {
            assert!((14..=65_536).contains(&received.frame.bytes().len()));
        } else if waiter.poll(|cx| device.poll_ready(cx)) != Poll::Ready(Ok(())) {
            return;
        }
    }
    panic!("it never comes to an end");
}
