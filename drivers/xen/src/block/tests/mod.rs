//! blkfront against a fake of blkback.

extern crate std;

mod again;
mod back;
mod held;
mod hostile;
mod late;
mod queues;
mod resumed;
mod transfers;

use std::{boxed::Box, cell::Cell, rc::Rc, string::ToString, vec, vec::Vec};

use mayfly_device::{BlockBuffer, BlockDevice, BlockOperation, BlockRequest, DeviceError};

use self::back::{BARRIER, BlkBack, DISCARD, FLUSH, OKAY, READ, UNSUPPORTED, WRITE};
use crate::{
    Sharing,
    bus::{BusError, ConnectError},
    fake::{Back, Guest, Started, Waiter, Working},
    store::Store,
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

/// Pages that may stay granted.
const BUDGET: usize = 512;

async fn start(store: &Store, sharing: Sharing, front: &'static str) -> Started<dyn BlockDevice> {
    super::start(store, sharing, front, BUDGET, 1).await
}

fn back(guest: &Guest) -> Back<'_> {
    Back::new(guest, "device/vbd/51712")
}

/// Has the guest connect the disk.
fn begin(back: &Back<'_>) -> Rc<Cell<Option<Started<dyn BlockDevice>>>> {
    back.begin(start)
}

/// A disk that works, with what minds it running.
struct Disk<'a> {
    back: Back<'a>,
    blkback: BlkBack<'a>,
    device: Box<dyn BlockDevice>,
    end: Rc<Cell<Option<ConnectError>>>,
    waiter: Waiter,
}

/// A disk whose back end has these nodes beside the usual ones, or instead of them.
fn connect<'a>(guest: &'a Guest, nodes: &[(&str, &str)]) -> Disk<'a> {
    let back = back(guest);
    let features = [FEATURES, nodes].concat();
    let (Working { device, end }, blkback) = back.connect(start, &[], &features, BlkBack::map);
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
