//! The driver against a device played by the test.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::task::Waker;

use mayfly_device::{BlockBuffer, BlockOperation};
use proptest::prelude::*;
use virtio_drivers::transport::DeviceType;

use super::*;
use crate::fake::{self, FakeDevice};

/// A disk of 100 sectors of 4096 bytes that can flush and discard.
fn start(features: u64) -> (FakeDevice, VirtioBlock) {
    let mut configuration = 800u64.to_le_bytes().to_vec();
    configuration.extend([0; 12]);
    configuration.extend(4096u32.to_le_bytes());
    configuration.extend([0; 12]);
    configuration.extend(u32::MAX.to_le_bytes());
    let (device, transport) = fake::device(DeviceType::Block, features | 1 << 6, &configuration, 1);
    let driver = VirtioBlock::new(transport, device.line).unwrap();
    (device, driver)
}

fn request(id: u64, sector: u64, operation: BlockOperation) -> BlockRequest {
    BlockRequest { id, sector, operation }
}

fn buffer(fill: u8) -> BlockBuffer {
    let mut buffer = BlockBuffer::zeroed(4096).unwrap();
    buffer.fill(fill);
    buffer
}

#[test]
fn the_device_is_described() {
    let (_, driver) = start(1 << 5 | 1 << 9);
    assert_eq!(
        driver.info(),
        BlockInfo {
            sector_size: 4096,
            sectors: 100,
            read_only: true,
            removable: false,
            max_sectors: 16,
            can_flush: true,
            can_discard: false,
        }
    );
}

#[test]
fn requests_complete_in_the_order_of_the_device() {
    let (device, mut driver) = start(1 << 9 | 1 << 13);
    driver.submit(request(1, 3, BlockOperation::Read(buffer(0)))).unwrap();
    driver.submit(request(2, 5, BlockOperation::Write(buffer(7)))).unwrap();
    driver.submit(request(3, 0, BlockOperation::Flush)).unwrap();
    driver.submit(request(4, 2, BlockOperation::Discard(2))).unwrap();
    driver.flush_queue();
    assert_eq!(device.notified(0), 1);
    let chains: Vec<_> = (0..4).map(|_| device.take(0).unwrap()).collect();
    let header = |kind: u8, sector: u8| {
        let mut header = vec![0; 16];
        (header[0], header[8]) = (kind, sector);
        header
    };
    for ((_, parts), expected) in
        chains.iter().zip([header(0, 24), header(1, 40), header(4, 0), header(11, 0)])
    {
        assert_eq!(parts[0].read(), expected);
        parts.last().unwrap().write(&[0]);
    }
    assert_eq!(chains[1].1[1].read(), [7; 4096]);
    assert_eq!(chains[3].1[1].read(), [16, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]);
    chains[0].1[1].write(&[9; 4096]);
    chains[2].1[1].write(&[1]);
    for chain in [2, 0, 3, 1] {
        device.put_used(0, chains[chain].0.into(), 0);
    }
    let answers: Vec<_> = core::iter::from_fn(|| driver.complete()).collect();
    assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [3, 1, 4, 2]);
    assert_eq!(answers[0].result, Err(DeviceError::Io));
    assert_eq!(**answers[1].buffer.as_ref().unwrap(), [9; 4096]);
    assert!(answers[2].buffer.is_none() && answers[3].buffer.is_some());
}

#[test]
fn a_status_that_was_not_written_is_an_error() {
    let (device, mut driver) = start(0);
    driver.submit(request(1, 0, BlockOperation::Read(buffer(0)))).unwrap();
    driver.flush_queue();
    let (id, _) = device.take(0).unwrap();
    device.put_used(0, id.into(), 4097);
    assert_eq!(driver.complete().unwrap().result, Err(DeviceError::Io));
}

#[test]
fn a_full_queue_gives_requests_back() {
    let (device, mut driver) = start(0);
    let mut accepted = 0;
    while driver.submit(request(accepted, 0, BlockOperation::Read(buffer(0)))).is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, QUEUE_SIZE as u64 / 3);
    driver.flush_queue();
    let (id, _) = device.take(0).unwrap();
    device.put_used(0, id.into(), 0);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.poll_ready(&mut cx).is_ready());
    assert_eq!(driver.complete().unwrap().id, 0);
    assert!(driver.submit(request(accepted, 0, BlockOperation::Flush)).is_ok());
}

#[test]
fn a_device_that_makes_no_sense_is_refused() {
    for block_size in [0u32, 1, 511, 513, 1 << 17] {
        let mut configuration = vec![0; 20];
        configuration.extend(block_size.to_le_bytes());
        let (device, transport) = fake::device(DeviceType::Block, 1 << 6, &configuration, 1);
        let started = VirtioBlock::new(transport, device.line);
        assert_eq!(started.err(), Some(StartError::Configuration), "{block_size}");
    }
}

proptest! {
    /// Whatever comes back, each request completes at most once, and nothing panics.
    #[test]
    fn a_hostile_device_is_survived(
        answers in prop::collection::vec((0..70u32, any::<u32>(), 0..4u8, 0..3u16), 0..40),
    ) {
        let (device, mut driver) = start(0);
        let mut open = BTreeSet::new();
        for (id, (used, length, action, skew)) in (0..).zip(answers) {
            if driver.submit(request(id, 0, BlockOperation::Write(buffer(1)))).is_ok() {
                open.insert(id);
            }
            driver.flush_queue();
            match action {
                0 => device.put_used(0, used, length),
                1 => device.skew_used(0, skew),
                _ => {
                    if let Some((head, _)) = device.take(0) {
                        device.put_used(0, head.into(), length);
                    }
                }
            }
            while let Some(completion) = driver.complete() {
                prop_assert!(open.remove(&completion.id));
            }
            let _ = driver.poll_ready(&mut Context::from_waker(Waker::noop()));
        }
    }
}
