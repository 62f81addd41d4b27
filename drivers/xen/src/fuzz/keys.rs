//! The nodes of devices.

use std::vec::Vec;

use core::time::Duration;

use mayfly_device::{BlockDevice, NetDevice, is_unicast};

use super::{Script, block, with_guest};
use crate::{
    Sharing,
    fake::{Back, Guest, Started},
    net,
    store::Store,
};

/// Nodes of the back end that a driver looks at, and what a good one may write.
const BACK: &[(&str, &str)] = &[
    ("feature-rx-copy", "1"),
    ("feature-sg", "1"),
    ("feature-gso-tcpv4", "1"),
    ("feature-gso-tcpv6", "1"),
    ("feature-ipv6-csum-offload", "1"),
    ("sectors", "4096"),
    ("sector-size", "512"),
    ("info", "0"),
    ("feature-flush-cache", "1"),
    ("feature-barrier", "1"),
    ("feature-persistent", "1"),
    ("feature-discard", "1"),
    ("max-ring-page-order", "1"),
    ("feature-max-indirect-segments", "32"),
    ("multi-queue-max-queues", "3"),
    ("online", "1"),
];
/// The same of the front end.
const FRONT: &[(&str, &str)] = &[
    ("mac", "00:16:3e:01:02:03"),
    ("mtu", "1500"),
    ("backend-id", "0"),
    ("backend", "/local/domain/0/backend/vif/7/0"),
    ("state", "1"),
];

/// Queues that a device may have.
const QUEUES: usize = 4;

/// Plays what writes nodes of a device, the tools and the back end.
pub fn keys(bytes: &[u8]) {
    with_guest(|guest| {
        let mut script = Script(bytes);
        match script.byte() % 2 {
            0 => {
                let back = Back::new(guest, "device/vif/0");
                let is_sane = |device: &(dyn NetDevice + 'static)| {
                    let info = device.info();
                    assert!((68..=9000).contains(&info.mtu) && is_unicast(info.mac));
                };
                let start = async |store: &Store, sharing, front| {
                    net::start(store, sharing, front, QUEUES).await
                };
                play(guest, &back, &mut script, start, is_sane);
            }
            _ => {
                let back = Back::new(guest, "device/vbd/51712");
                let is_sane = |device: &(dyn BlockDevice + 'static)| {
                    let info = device.info();
                    assert!(info.sector_size.is_power_of_two() && info.sector_size >= 512);
                    assert!(info.max_sectors * info.sector_size <= 1 << 20);
                };
                let start = async |store: &Store, sharing, front| {
                    block::start_with(store, sharing, front, QUEUES).await
                };
                play(guest, &back, &mut script, start, is_sane);
            }
        }
    });
}

fn play<D: ?Sized + 'static>(
    guest: &'static Guest,
    back: &Back<'_>,
    script: &mut Script<'_>,
    start: impl AsyncFnOnce(&Store, Sharing, &'static str) -> Started<D> + 'static,
    is_sane: fn(&D),
) {
    back.attach(&FRONT[..2]);
    let all = script.flag();
    for (name, value) in BACK.iter().filter(|_| all) {
        back.put(name, value);
    }
    let started = back.begin(start);
    let mut device = None;
    // A few are enough for what there is to be seen.
    for _ in 0..100 {
        if !script.has_more() {
            break;
        }
        step(back, script);
        guest.settle();
        if let Some(Ok((new, minder))) = started.take() {
            is_sane(&new);
            let clock = guest.clock();
            drop(guest.spawn(minder.run(clock.sleeper())));
            device = Some(new);
        }
    }
    drop(device);
    back.detach();
    guest.settle();
    drop(started.take());
}

fn step(back: &Back<'_>, script: &mut Script<'_>) {
    match script.byte() % 8 {
        0 => {
            let (name, _) = BACK[usize::from(script.byte()) % BACK.len()];
            let value = value(script);
            back.put(name, value);
        }
        1 => {
            let (name, usual) = FRONT[usize::from(script.byte()) % FRONT.len()];
            let value = if script.flag() { value(script) } else { usual.into() };
            back.put_front(name, value);
        }
        2 => back.vanish(),
        3 => back.permit(script.flag()),
        4 => back.guest.elapse(Duration::from_millis(script.short().into())),
        5 => {
            let value = value(script);
            back.put("state", value);
        }
        _ => back.set_state(script.byte() % 10),
    }
}

/// What a node may have: a number, or any bytes.
fn value(script: &mut Script<'_>) -> Vec<u8> {
    match script.byte() % 4 {
        0 => std::format!("{}", script.word()).into_bytes(),
        1 => std::vec![b'9'; script.byte().into()],
        _ => {
            let count = script.byte().into();
            script.bytes(count).into()
        }
    }
}
