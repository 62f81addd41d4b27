//! Reads, writes and the rest.

use core::task::Poll;

use proptest::prelude::*;

use super::*;

/// Runs what the back end has to do. Returns how many requests that were.
fn run_all(disk: &mut Disk<'_>, memory: &mut [u8]) -> usize {
    let requests = disk.blkback.take_all();
    let count = requests.len();
    for request in requests {
        request.run(memory);
        disk.blkback.answer(request, OKAY);
    }
    count
}

#[test]
fn every_size_is_written_and_read_again() {
    let sizes = (1..=90).chain([95, 96, 97, 1000, 1024, 2040, 2041, 2047, 2048]);
    for (indirect, most) in [("0", 11), ("12", 12), ("32", 32), ("256", 256), ("99999999999", 256)]
    {
        let guest = Guest::new();
        let mut disk = connect(&guest, &[("feature-max-indirect-segments", indirect)]);
        let info = disk.device.info();
        assert_eq!((info.sectors, info.sector_size, info.max_sectors), (4096, 512, 2048));
        assert!(info.can_flush && info.can_discard && !info.read_only && !info.removable);
        let mut memory = vec![0; SECTORS * UNIT];
        for sectors in sizes.clone() {
            let bytes = pattern(sectors, sectors);
            for operation in
                [BlockOperation::Write(buffer(&bytes)), BlockOperation::Read(zeroed(sectors))]
            {
                disk.submit(9, sectors as u64, operation);
                assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
                disk.device.flush_queue();
                assert_eq!(run_all(&mut disk, &mut memory), sectors.div_ceil(8).div_ceil(most));
                assert!(disk.waiter.is_woken());
                let completion = disk.device.complete().unwrap();
                assert_eq!((completion.id, completion.result), (9, Ok(())));
                assert_eq!(&*completion.buffer.unwrap(), bytes);
            }
            assert_eq!(&memory[sectors * UNIT..2 * sectors * UNIT], bytes);
        }
    }
}

#[test]
fn a_request_that_can_never_be_sent_fails() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 0, BlockOperation::Read(zeroed(33 * 11 * 8)));
    assert_eq!(disk.device.complete().unwrap().result, Err(DeviceError::OutOfMemory));
}

#[test]
fn pages_stay_granted_where_the_back_end_wants_that() {
    let guest = Guest::new();
    let nodes = [("feature-persistent", "1"), ("feature-max-indirect-segments", "256")];
    let mut disk = connect(&guest, &nodes);
    assert_eq!(disk.device.info().max_sectors, 2048);
    let mut memory = pattern(3, SECTORS);
    for round in 0..20 {
        let sectors = [8, 2048, 96, 1, 1000][round % 5];
        let bytes = pattern(round, sectors);
        disk.submit(1, 0, BlockOperation::Write(buffer(&bytes)));
        disk.submit(2, 2048, BlockOperation::Read(zeroed(sectors)));
        disk.submit(3, 0, BlockOperation::Flush);
        disk.device.flush_queue();
        assert_eq!(run_all(&mut disk, &mut memory), 3);
        assert!(disk.device.complete().unwrap().buffer.unwrap()[..] == bytes);
        let read = disk.device.complete().unwrap();
        assert_eq!((read.id, read.result), (2, Ok(())));
        assert!(read.buffer.unwrap()[..] == memory[2048 * UNIT..(2048 + sectors) * UNIT]);
        assert!(memory[..sectors * UNIT] == bytes);
        assert_eq!(disk.device.complete().unwrap().id, 3);
    }
    // Data of two requests, and their descriptors.
    assert_eq!(disk.blkback.kept(), 514);
    // As much as the pool has is under way, and no more.
    for id in 0..2 {
        disk.submit(id, 0, BlockOperation::Read(zeroed(2048)));
    }
    let third = BlockRequest { id: 3, sector: 0, operation: BlockOperation::Read(zeroed(1)) };
    assert!(disk.device.submit(third).is_err());
    disk.device.flush_queue();
    assert_eq!(run_all(&mut disk, &mut memory), 2);
    assert!(disk.device.complete().is_some() && disk.device.complete().is_some());
    disk.submit(3, 0, BlockOperation::Read(zeroed(1)));
}

#[test]
fn large_requests_take_one_entry_each() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[("feature-max-indirect-segments", "256")]);
    let free = guest.resources().0;
    let mut memory = pattern(3, SECTORS);
    for round in 0..5 {
        for id in 0..4 {
            disk.submit(id, id % 2 * 2048, BlockOperation::Read(zeroed(2048)));
        }
        let operation = BlockOperation::Read(zeroed(2048));
        let fifth = disk.device.submit(BlockRequest { id: 5, sector: 0, operation });
        assert!(fifth.is_err(), "there is no entry in the grant table for it");
        disk.submit(6, 0, BlockOperation::Flush);
        disk.device.flush_queue();
        assert_eq!((run_all(&mut disk, &mut memory), disk.blkback.events()), (5, 1), "{round}");
        for id in 0..4 {
            let completion = disk.device.complete().unwrap();
            let at = id as usize % 2 * 2048 * UNIT;
            assert_eq!((completion.id, completion.result), (id, Ok(())));
            assert_eq!(&*completion.buffer.unwrap(), &memory[at..at + 2048 * UNIT]);
        }
        assert_eq!(disk.device.complete().unwrap().id, 6);
    }
    assert_eq!(guest.resources().0, free, "descriptors come from the reservation");
}

#[test]
fn a_request_fails_if_a_part_of_it_does() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    for bad in 0..3 {
        disk.submit(1, 0, BlockOperation::Read(zeroed(200)));
        disk.device.flush_queue();
        for (index, request) in disk.blkback.take_all().into_iter().enumerate() {
            assert!(disk.device.complete().is_none());
            disk.blkback.answer(request, if index == bad { -1 } else { OKAY });
        }
        let completion = disk.device.complete().unwrap();
        assert_eq!(completion.result, Err(DeviceError::Io));
        assert!(completion.buffer.is_some());
    }
}

#[test]
fn many_requests_are_under_way_and_answered_in_any_order() {
    for (order, slots) in
        [("", 32), ("0", 32), ("1", 64), ("2", 128), ("4", 128), ("4294967295", 128)]
    {
        let guest = Guest::new();
        let mut disk = connect(&guest, &[("max-ring-page-order", order)]);
        let mut memory = pattern(1, SECTORS);
        // The ring goes round three times.
        for _ in 0..3 {
            for id in 0..slots {
                disk.submit(id, id * 24, BlockOperation::Read(zeroed(24)));
            }
            let full = BlockRequest { id: 999, sector: 0, operation: BlockOperation::Flush };
            assert!(disk.device.submit(full).is_err());
            assert!(disk.blkback.take_all().is_empty());
            disk.device.flush_queue();
            assert_eq!(disk.blkback.events(), 1);
            let mut requests = disk.blkback.take_all();
            assert_eq!(requests.len(), slots as usize);
            for step in 0..slots as usize {
                let request = requests.remove(step * 7 % requests.len());
                request.run(&mut memory);
                disk.blkback.answer(request, OKAY);
            }
            for _ in 0..slots {
                let completion = disk.device.complete().unwrap();
                let at = completion.id as usize * 24 * UNIT;
                assert_eq!(&*completion.buffer.unwrap(), &memory[at..at + 24 * UNIT]);
            }
            assert!(disk.device.complete().is_none());
        }
    }
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
fn each_part_has_whole_sectors() {
    for (indirect, size, pages) in
        [("0", "32768", 8), ("12", "32768", 8), ("31", "65536", 16), ("256", "1048576", 256)]
    {
        let guest = Guest::new();
        let nodes = [("feature-max-indirect-segments", indirect), ("sector-size", size)];
        let mut disk = connect(&guest, &nodes);
        disk.submit(1, 0, BlockOperation::Write(zeroed(2048)));
        disk.device.flush_queue();
        let requests = disk.blkback.take_all();
        let parts: Vec<_> = requests.iter().map(|r| (r.sector, r.pages.len())).collect();
        let expected: Vec<_> = (0..256 / pages).map(|part| (part * pages * 8, pages)).collect();
        assert_eq!(parts, expected, "sectors of {size}");
    }
}

#[test]
fn what_the_back_end_cannot_do_is_not_offered() {
    let guest = Guest::new();
    let nodes = [("info", "6"), ("feature-flush-cache", "0"), ("feature-discard", "none")];
    let mut disk = connect(&guest, &nodes);
    let info = disk.device.info();
    assert!(info.read_only && info.removable && !info.can_discard);
    disk.submit(1, 0, BlockOperation::Flush);
    assert_eq!(disk.device.complete().unwrap().result, Ok(()));
    disk.submit(2, 0, BlockOperation::Discard(1));
    assert_eq!(disk.device.complete().unwrap().result, Err(DeviceError::Unsupported));
    assert!(disk.blkback.take().is_none());
}

/// `feature-flush-cache` and `feature-barrier`, and by what is flushed then.
#[test]
fn a_flush_is_a_barrier_where_there_is_nothing_else_and_may_be_refused_at_any_time() {
    for (flush, barrier, expected) in
        [("1", "1", &[FLUSH, BARRIER][..]), ("0", "1", &[BARRIER]), ("1", "0", &[FLUSH])]
    {
        let guest = Guest::new();
        let nodes = [("feature-flush-cache", flush), ("feature-barrier", barrier)];
        let mut disk = connect(&guest, &nodes);
        assert!(disk.device.info().can_flush);
        disk.submit(1, 7, BlockOperation::Flush);
        disk.device.flush_queue();
        for operation in expected {
            let request = disk.blkback.take().unwrap();
            assert_eq!((request.operation, request.sector), (*operation, 0));
            assert!(request.pages.is_empty() && disk.device.complete().is_none());
            disk.blkback.answer(request, UNSUPPORTED);
            let done = disk.device.complete();
            assert_eq!(done.is_some(), operation == expected.last().unwrap());
            assert!(done.is_none_or(|done| done.id == 1 && done.result == Ok(())));
        }
        // It is known now.
        disk.submit(2, 0, BlockOperation::Flush);
        assert_eq!(disk.device.complete().unwrap().result, Ok(()));
        assert!(disk.blkback.take().is_none());
    }
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
        persistent in 0..2u8,
        order in 0..4u8,
        indirect in prop_oneof![0..40usize, 0..1000usize],
        steps in prop::collection::vec(
            (any::<bool>(), 0..200usize, prop_oneof![1..=88usize, 1..=2048usize], any::<usize>()),
            1..20,
        ),
    ) {
        let guest = Guest::new();
        let (order, indirect) = (order.to_string(), indirect.to_string());
        let nodes = [
            ("max-ring-page-order", &*order),
            ("feature-max-indirect-segments", &*indirect),
            ("feature-persistent", &persistent.to_string()),
        ];
        let mut disk = connect(&guest, &nodes);
        let (mut memory, mut expected) = (pattern(0, SECTORS), pattern(0, SECTORS));
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
            let mut requests = disk.blkback.take_all();
            while !requests.is_empty() {
                let request = requests.swap_remove(order % requests.len());
                request.run(&mut memory);
                disk.blkback.answer(request, OKAY);
            }
            let completion = disk.device.complete().unwrap();
            prop_assert_eq!(completion.id, id as u64);
            prop_assert!(completion.buffer.unwrap()[..] == expected[range]);
        }
        prop_assert!(memory == expected);
    }
}
