//! blkback.

use core::task::Poll;
use std::{boxed::Box, string::ToString, vec::Vec};

use mayfly_device::{BlockBuffer, BlockDevice, BlockOperation, BlockRequest};

use super::{Script, with_guest};
use crate::{
    Sharing,
    fake::{Back, BackRing, DOM0, Started, Waiter, Working},
    grants::{Access, GrantRef, fake::PeerPage},
    store::Store,
};

/// Pages that may stay granted.
const BUDGET: usize = 512;

async fn start(store: &Store, sharing: Sharing, front: &'static str) -> Started<dyn BlockDevice> {
    start_with(store, sharing, front, 1).await
}

/// With up to so many queues.
pub(super) async fn start_with(
    store: &Store,
    sharing: Sharing,
    front: &'static str,
    queues: usize,
) -> Started<dyn BlockDevice> {
    crate::block::start(store, sharing, front, BUDGET, queues).await
}

/// Plays a blkback: what is on the ring and in data.
pub fn block(bytes: &[u8]) {
    with_guest(|guest| {
        let mut script = Script(bytes);
        let [order, persistent, indirect] =
            [3, 2, 40].map(|most| (script.byte() % most).to_string());
        let features = [
            ("sectors", "4096"),
            ("feature-flush-cache", "1"),
            ("feature-barrier", "1"),
            ("feature-discard", "1"),
            ("max-ring-page-order", &order),
            ("feature-persistent", &persistent),
            ("feature-max-indirect-segments", &indirect),
        ];
        let back = Back::new(guest, "device/vbd/51712");
        let map = |back: &Back<'_>| {
            let count = 1 << order.parse::<usize>().unwrap_or(0);
            let reference =
                |index: usize| back.reference(&["ring-ref", &index.to_string()].concat());
            let references: Vec<_> = (0..count).map(reference).collect();
            BackRing::<28>::map_pages(guest, &references)
        };
        let (Working { mut device, .. }, ring) = back.connect(start, &[], &features, map);
        let Some(mut ring) = ring else { panic!("the ring is not granted") };
        let (waiter, mut kept, mut next, mut done) = (Waiter::new(), Vec::new(), 0, Vec::new());
        while script.has_more() {
            step(&mut script, &mut device, &mut ring, &back, &mut (&mut kept, &mut next));
            take(&mut device, &waiter, &mut done);
        }
        // Each at most once, and none that was not asked for.
        let count = done.len();
        done.sort_unstable();
        done.dedup();
        assert!(done.len() == count && done.iter().all(|id| *id < next), "{done:?} of {next}");
        drop((device, ring, kept));
        back.detach();
        guest.settle();
    });
}

fn step(
    script: &mut Script<'_>,
    device: &mut Box<dyn BlockDevice>,
    ring: &mut BackRing<28>,
    back: &Back<'_>,
    (kept, next): &mut (&mut Vec<PeerPage>, &mut u64),
) {
    let page = |reference| {
        PeerPage::map(back.guest.sharing.grants, DOM0, GrantRef(reference), Access::ReadOnly)
    };
    match script.byte() % 8 {
        0 => {
            let sectors = usize::from(script.short() % 600);
            let Some(buffer) = BlockBuffer::zeroed(sectors.max(1) * 512) else { return };
            let operation = match script.byte() % 4 {
                0 => BlockOperation::Read(buffer),
                1 => BlockOperation::Write(buffer),
                2 => BlockOperation::Flush,
                _ => BlockOperation::Discard(script.word()),
            };
            let request = BlockRequest { id: **next, sector: script.index().into(), operation };
            **next += u64::from(device.submit(request).is_ok());
            device.flush_queue();
        }
        1 => ring.page.write(usize::from(script.short() % 1024) * 4, &script.word().to_le_bytes()),
        2 => ring.page.write(usize::from(script.byte() % 4) * 4, &script.index().to_le_bytes()),
        3 => {
            ring.answer(&[script.index(), 0, u32::from(script.byte()) << 16]);
        }
        4 | 5 => {
            let status = script.byte().wrapping_sub(3) as i8;
            if let Some(request) = ring.take_if_sane() {
                ring.answer(&[request[2], request[3], (i32::from(status) as u32) << 16]);
            }
        }
        6 => {
            if let Some(request) = ring.take_if_sane() {
                kept.extend(page(request[6]));
            }
        }
        _ => back.set_state(script.byte() % 10),
    }
}

/// Takes what there is, which has an end.
fn take(device: &mut Box<dyn BlockDevice>, waiter: &Waiter, done: &mut Vec<u64>) {
    for _ in 0..2000 {
        if let Some(completion) = device.complete() {
            done.push(completion.id);
        } else if waiter.poll(|cx| device.poll_ready(cx)) != Poll::Ready(Ok(())) {
            return;
        }
    }
    panic!("it never comes to an end");
}
