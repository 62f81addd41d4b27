//! blkfront against a fake of blkback.

extern crate std;

mod again;
mod back;
mod hostile;
mod transfers;

use std::{boxed::Box, cell::Cell, rc::Rc, string::ToString, vec, vec::Vec};

use mayfly_device::{BlockBuffer, BlockDevice, BlockOperation, BlockRequest, DeviceError};

use self::back::{BlkBack, DISCARD, FLUSH, OKAY, READ, WRITE};
use super::start;
use crate::{
    bus::{BusError, ConnectError, Minder},
    fake::{Back, Guest, Waiter},
};

/// Sectors of the disk.
const SECTORS: usize = 4096;
const UNIT: usize = 512;
const FEATURES: &[(&str, &str)] = &[
    ("sectors", "4096"),
    ("sector-size", "512"),
    ("info", "0"),
    ("feature-flush-cache", "1"),
    ("feature-discard", "1"),
];

type Started = Result<(Box<dyn BlockDevice>, Minder), ConnectError>;

fn back(guest: &Guest) -> Back<'_> {
    Back::new(guest, "device/vbd/51712")
}

/// Has the guest connect the disk.
fn begin(back: &Back<'_>) -> Rc<Cell<Option<Started>>> {
    let store = back.guest.bench.store.clone();
    let (sharing, directory) = (back.guest.sharing, back.directory);
    let started = back.guest.spawn(async move { start(&store, sharing, directory).await });
    back.guest.settle();
    started
}

/// A disk that works, with what minds it running.
struct Disk<'a> {
    back: Back<'a>,
    blkback: BlkBack<'a>,
    device: Box<dyn BlockDevice>,
    end: Rc<Cell<Option<ConnectError>>>,
    waiter: Waiter,
}

fn connect<'a>(guest: &'a Guest, nodes: &[(&str, &str)]) -> Disk<'a> {
    let back = back(guest);
    back.attach(&[]);
    back.offer(FEATURES);
    for (name, value) in nodes {
        back.put(name, value);
    }
    let started = begin(&back);
    assert_eq!(back.front_state().as_deref(), Some("4"));
    let blkback = BlkBack::map(&back);
    back.set_state(4);
    let Some(Ok((device, minder))) = started.take() else { panic!("it does not connect") };
    let end = guest.spawn(minder.run());
    guest.settle();
    Disk { back, blkback, device, end, waiter: Waiter::new() }
}

impl Disk<'_> {
    fn submit(&mut self, id: u64, sector: u64, operation: BlockOperation) {
        self.device.submit(BlockRequest { id, sector, operation }).unwrap();
    }
}

fn buffer(bytes: &[u8]) -> BlockBuffer {
    let mut buffer = BlockBuffer::zeroed(bytes.len()).unwrap();
    buffer.copy_from_slice(bytes);
    buffer
}

fn zeroed(sectors: usize) -> BlockBuffer {
    BlockBuffer::zeroed(sectors * UNIT).unwrap()
}

/// Contents of so many sectors.
fn pattern(seed: usize, sectors: usize) -> Vec<u8> {
    (0..sectors * UNIT).map(|index| (index * 7 + index / 512 + seed * 13) as u8).collect()
}
