//! Reads, writes and the rest.

use core::task::Poll;

use proptest::prelude::*;

use super::*;

#[test]
fn every_size_is_written_and_read_again() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    let info = disk.device.info();
    assert_eq!((info.sectors, info.sector_size, info.max_sectors), (4096, 512, 88));
    assert!(info.can_flush && info.can_discard && !info.read_only);
    let mut memory = vec![0; SECTORS * UNIT];
    for sectors in 1..=info.max_sectors {
        let bytes = pattern(sectors, sectors);
        for operation in
            [BlockOperation::Write(buffer(&bytes)), BlockOperation::Read(zeroed(sectors))]
        {
            disk.submit(9, sectors as u64, operation);
            assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
            disk.device.flush_queue();
            let request = disk.blkback.take().unwrap();
            assert_eq!(request.sector, sectors);
            request.run(&mut memory);
            disk.blkback.answer(request, OKAY);
            assert!(disk.waiter.is_woken());
            let completion = disk.device.complete().unwrap();
            assert_eq!((completion.id, completion.result), (9, Ok(())));
            assert_eq!(&*completion.buffer.unwrap(), bytes);
        }
        assert_eq!(&memory[sectors * UNIT..2 * sectors * UNIT], bytes);
    }
}

#[test]
fn a_request_is_no_longer_than_the_maximum() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    let operation = BlockOperation::Read(zeroed(89));
    assert!(disk.device.submit(BlockRequest { id: 1, sector: 0, operation }).is_err());
}

#[test]
fn many_requests_are_under_way_and_answered_in_any_order() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    let mut memory = pattern(1, SECTORS);
    for id in 0..32 {
        disk.submit(id, id * 88, BlockOperation::Read(zeroed(88)));
    }
    let full = BlockRequest { id: 99, sector: 0, operation: BlockOperation::Flush };
    assert!(disk.device.submit(full).is_err());
    assert!(disk.blkback.take_all().is_empty());
    disk.device.flush_queue();
    assert_eq!(disk.blkback.events(), 1);
    let mut requests = disk.blkback.take_all();
    assert_eq!(requests.len(), 32);
    for step in 0..32 {
        let request = requests.remove(step * 7 % requests.len());
        request.run(&mut memory);
        disk.blkback.answer(request, OKAY);
    }
    for _ in 0..32 {
        let completion = disk.device.complete().unwrap();
        let at = completion.id as usize * 88 * UNIT;
        assert_eq!(&*completion.buffer.unwrap(), &memory[at..at + 88 * UNIT]);
    }
    assert!(disk.device.complete().is_none());
}

#[test]
fn flush_and_discard_reach_the_disk() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[("sector-size", "4096")]);
    assert_eq!(disk.device.info().sectors, 512);
    disk.submit(1, 0, BlockOperation::Flush);
    disk.submit(2, 3, BlockOperation::Discard(5));
    disk.device.flush_queue();
    let requests = disk.blkback.take_all();
    let seen: Vec<_> = requests.iter().map(|r| (r.operation, r.sector, r.count)).collect();
    assert_eq!(seen, [(FLUSH, 0, 0), (DISCARD, 24, 40)]);
    for request in requests {
        disk.blkback.answer(request, OKAY);
    }
    for id in [1, 2] {
        let completion = disk.device.complete().unwrap();
        assert!(completion.id == id && completion.buffer.is_none() && completion.result.is_ok());
    }
}

#[test]
fn what_the_back_end_cannot_do_is_not_offered() {
    let guest = Guest::new();
    let disk = connect(
        &guest,
        &[("info", "4"), ("feature-flush-cache", "0"), ("feature-discard", "none")],
    );
    let info = disk.device.info();
    assert!(info.read_only && !info.can_flush && !info.can_discard);
}

#[test]
fn errors_are_those_of_the_request() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    let cases = [
        (-1, Err(DeviceError::Io)),
        (-2, Err(DeviceError::Unsupported)),
        (-77, Err(DeviceError::Io)),
        (0, Ok(())),
    ];
    for (status, result) in cases {
        disk.submit(7, 0, BlockOperation::Write(zeroed(1)));
        disk.device.flush_queue();
        let request = disk.blkback.take().unwrap();
        assert_eq!(request.operation, WRITE);
        disk.blkback.answer(request, status);
        let completion = disk.device.complete().unwrap();
        assert_eq!((completion.id, completion.result), (7, result));
        assert!(completion.buffer.is_some());
    }
    disk.submit(8, 0, BlockOperation::Identify(zeroed(1)));
    assert_eq!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)), Poll::Ready(Ok(())));
    assert_eq!(disk.device.complete().unwrap().result, Err(DeviceError::Unsupported));
}

#[test]
fn all_is_back_when_the_disk_is_dropped() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let before = guest.resources();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 0, BlockOperation::Read(zeroed(16)));
    disk.device.flush_queue();
    let request = disk.blkback.take().unwrap();
    assert_eq!(request.operation, READ);
    disk.back.detach();
    guest.settle();
    assert_eq!(disk.end.take(), Some(ConnectError::Bus(BusError::Gone)));
    let polled = disk.waiter.poll(|cx| disk.device.poll_ready(cx));
    assert_eq!(polled, Poll::Ready(Err(DeviceError::Gone)));
    let Disk { device, blkback, .. } = disk;
    drop(device);
    // Two pages of data, and the ring.
    assert_eq!(guest.resources().1, 3);
    // It may still write to them.
    request.run(&mut vec![0; SECTORS * UNIT]);
    drop((request, blkback));
    assert_eq!(guest.resources(), before);
}

proptest! {
    #[test]
    fn a_disk_remembers_what_was_written(
        steps in prop::collection::vec((any::<bool>(), 0..200usize, 1..=88usize, any::<usize>()), 1..60),
    ) {
        let guest = Guest::new();
        let mut disk = connect(&guest, &[]);
        let (mut memory, mut expected) = (pattern(0, 512), pattern(0, 512));
        for (id, (is_write, sector, sectors, order)) in steps.into_iter().enumerate() {
            let bytes = pattern(order % 1000, sectors);
            let range = sector * UNIT..(sector + sectors) * UNIT;
            let operation = if is_write {
                expected[range.clone()].copy_from_slice(&bytes);
                BlockOperation::Write(buffer(&bytes))
            } else {
                BlockOperation::Read(zeroed(sectors))
            };
            disk.submit(id as u64, sector as u64, operation);
            disk.device.flush_queue();
            let request = disk.blkback.take().unwrap();
            request.run(&mut memory);
            disk.blkback.answer(request, OKAY);
            let completion = disk.device.complete().unwrap();
            prop_assert_eq!(completion.id, id as u64);
            prop_assert_eq!(&*completion.buffer.unwrap(), &expected[range]);
        }
        prop_assert_eq!(memory, expected);
    }
}
