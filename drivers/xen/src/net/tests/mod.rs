//! netfront against a fake of netback.

extern crate std;

mod again;
mod alone;
mod back;
mod copies;
mod frames;
mod groups;
mod hostile;
mod long;
mod queues;
mod resumed;

use std::{boxed::Box, cell::Cell, rc::Rc, vec::Vec};

use mayfly_device::{DeviceError, FrameBuf, LinkChange, NetDevice};

use self::back::{BLANK, NetBack};
use crate::{
    Sharing,
    bus::ConnectError,
    fake::{Back, Guest, Started, Waiter, Working},
    store::Store,
};

const FRONT: &[(&str, &str)] = &[("mac", "00:16:3e:01:02:03"), ("handle", "0")];
const FEATURES: &[(&str, &str)] = &[("feature-rx-copy", "1"), ("feature-ipv6-csum-offload", "1")];

fn back(guest: &Guest) -> Back<'_> {
    Back::new(guest, "device/vif/0")
}

/// The driver, for a card with one queue.
async fn start_one(store: &Store, sharing: Sharing, front: &'static str) -> Started<dyn NetDevice> {
    super::start(store, sharing, front, 1).await
}

/// Has the guest connect the card.
fn begin(back: &Back<'_>) -> Rc<Cell<Option<Started<dyn NetDevice>>>> {
    back.begin(start_one)
}

/// A card that works, with what minds it running.
struct Card<'a> {
    back: Back<'a>,
    netback: NetBack<'a>,
    device: Box<dyn NetDevice>,
    end: Rc<Cell<Option<ConnectError>>>,
    waiter: Waiter,
}

fn connect(guest: &Guest) -> Card<'_> {
    connect_with(guest, &[], &[])
}

/// With more in the directories of both.
fn connect_with<'a>(
    guest: &'a Guest,
    front: &[(&str, &str)],
    features: &[(&str, &str)],
) -> Card<'a> {
    let back = back(guest);
    let (front, features) = ([FRONT, front].concat(), [FEATURES, features].concat());
    let (Working { device, end }, netback) =
        back.connect(start_one, &front, &features, NetBack::map);
    netback.events();
    Card { back, netback, device, end, waiter: Waiter::new() }
}

/// A frame with these contents.
fn frame(device: &dyn NetDevice, bytes: &[u8]) -> FrameBuf {
    let mut frame = FrameBuf::allocate(&device.pool(), 0).unwrap();
    assert!(frame.set_range(0, bytes.len()));
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

/// A TCP packet over IPv4 with so much payload, and a checksum to be filled in.
fn tcp(payload: usize) -> Vec<u8> {
    let mut bytes = pattern(payload, 14 + 20 + 20 + payload);
    bytes[..54].fill(0);
    bytes[12..14].copy_from_slice(&[8, 0]);
    bytes[14] = 0x45;
    bytes[14 + 9] = 6;
    bytes[34 + 12] = 0x50;
    bytes
}

/// Contents of a frame of this length.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + seed * 13) as u8).collect()
}
