//! A blkback that goes away and comes back.

use core::{task::Poll, time::Duration};

use proptest::prelude::*;

use super::*;

/// The back end comes back and connects.
pub(super) fn come_back(disk: &mut Disk<'_>) {
    disk.blkback.let_go();
    disk.back.set_state(6);
    assert_eq!(disk.back.front_state().as_deref(), Some("1"));
    // The disk hears that the old rings are not used any more.
    disk.device.flush_queue();
    disk.back.set_state(2);
    disk.blkback = BlkBack::map(&disk.back);
    disk.back.set_state(4);
    // It stays.
    disk.back.guest.elapse(Duration::from_secs(10));
}

#[test]
fn what_was_not_answered_is_asked_again_in_order() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let mut disk = connect(&guest, &[]);
    let in_use = guest.resources();
    let bytes = pattern(1, 9);
    disk.submit(10, 1, BlockOperation::Write(buffer(&bytes)));
    disk.submit(11, 20, BlockOperation::Read(zeroed(3)));
    disk.submit(12, 0, BlockOperation::Flush);
    disk.submit(13, 30, BlockOperation::Discard(4));
    disk.submit(14, 40, BlockOperation::Read(zeroed(1)));
    disk.device.flush_queue();
    // One is answered and taken, one is answered, all others are on their way.
    let mut requests = disk.blkback.take_all();
    disk.blkback.answer(requests.remove(2), OKAY);
    assert_eq!(disk.device.complete().unwrap().id, 12);
    disk.blkback.answer(requests.remove(0), OKAY);
    // A slot of those that were answered first is used last.
    disk.submit(15, 50, BlockOperation::Flush);
    assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_ready());
    disk.back.set_state(5);
    drop(requests);
    let refused = BlockRequest { id: 16, sector: 0, operation: BlockOperation::Flush };
    let refused = disk.device.submit(refused).unwrap_err();
    disk.device.flush_queue();
    assert_eq!(disk.device.complete().unwrap().id, 10);
    assert!(disk.device.complete().is_none());
    assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
    come_back(&mut disk);
    assert!(disk.waiter.is_woken());
    assert_eq!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)), Poll::Ready(Ok(())));
    assert!(disk.blkback.events() > 0, "it is told");
    assert!(disk.device.submit(refused).is_ok());
    disk.device.flush_queue();
    let mut memory = pattern(3, SECTORS);
    let requests = disk.blkback.take_all();
    let seen: Vec<_> = requests.iter().map(|r| (r.operation, r.sector)).collect();
    assert_eq!(seen, [(READ, 20), (DISCARD, 30), (READ, 40), (FLUSH, 0), (FLUSH, 0)]);
    for request in requests {
        request.run(&mut memory);
        disk.blkback.answer(request, OKAY);
    }
    for (id, sectors) in
        [(11, Some(20..23)), (13, None), (14, Some(40..41)), (15, None), (16, None)]
    {
        let completion = disk.device.complete().unwrap();
        assert_eq!((completion.id, completion.result), (id, Ok(())));
        let expected = sectors
            .map(|range: core::ops::Range<usize>| &memory[range.start * UNIT..range.end * UNIT]);
        assert_eq!(completion.buffer.as_deref(), expected);
    }
    assert!(disk.device.complete().is_none());
    assert_eq!(guest.resources(), in_use);
}

/// What comes after a flush that is to be tried in another way is no less of an answer.
#[test]
fn what_was_answered_behind_a_refused_flush_is_not_asked_again() {
    let guest = Guest::new();
    let nodes = [("feature-flush-cache", "1"), ("feature-barrier", "1")];
    let mut disk = connect(&guest, &nodes);
    disk.submit(1, 0, BlockOperation::Flush);
    disk.submit(2, 0, BlockOperation::Write(buffer(&pattern(1, 1))));
    disk.device.flush_queue();
    let [flush, write] = disk.blkback.take_all().try_into().ok().unwrap();
    disk.blkback.answer(flush, UNSUPPORTED);
    disk.blkback.answer(write, -1);
    disk.back.set_state(5);
    disk.device.flush_queue();
    let completion = disk.device.complete().unwrap();
    assert_eq!((completion.id, completion.result), (2, Err(DeviceError::Io)));
    come_back(&mut disk);
    disk.device.flush_queue();
    let seen: Vec<_> = disk.blkback.take_all().iter().map(|r| r.operation).collect();
    assert_eq!(seen, [FLUSH]);
}

/// The caller asks for it again later, in its own sectors.
#[test]
fn what_is_refused_comes_back_as_it_was() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[("sector-size", "4096")]);
    disk.back.set_state(5);
    for round in 0..3 {
        let request = BlockRequest { id: 1, sector: 3, operation: BlockOperation::Discard(5) };
        let refused = disk.device.submit(request).unwrap_err();
        assert!(matches!(refused.operation, BlockOperation::Discard(5)), "{round}: {refused:?}");
        assert_eq!((refused.id, refused.sector), (1, 3));
        let operation = BlockOperation::Write(zeroed(16));
        let refused = disk.device.submit(BlockRequest { id: 2, sector: 7, operation }).unwrap_err();
        assert!(matches!(&refused.operation, BlockOperation::Write(data) if data.len() == 8192));
        assert_eq!((refused.id, refused.sector), (2, 7));
    }
}

/// It comes back and can do less: what was one request takes more of them, and they take their turns.
#[test]
fn a_back_end_that_comes_back_may_do_less() {
    let guest = Guest::new();
    let nodes = [("feature-max-indirect-segments", "256"), ("max-ring-page-order", "4")];
    let mut disk = connect(&guest, &nodes);
    let mut memory = pattern(4, SECTORS);
    for id in 0..4 {
        disk.submit(id, id % 2 * 2048, BlockOperation::Read(zeroed(2048)));
    }
    disk.submit(4, 0, BlockOperation::Flush);
    disk.submit(5, 0, BlockOperation::Discard(1));
    disk.device.flush_queue();
    assert_eq!(disk.blkback.take_all().len(), 6);
    disk.back.set_state(5);
    for (name, value) in [
        ("feature-max-indirect-segments", "0"),
        ("feature-flush-cache", "0"),
        ("feature-discard", "0"),
        ("max-ring-page-order", "0"),
    ] {
        disk.back.put(name, value);
    }
    come_back(&mut disk);
    // There is room for a small one, but the others were first.
    let late = BlockRequest { id: 6, sector: 0, operation: BlockOperation::Read(zeroed(1)) };
    assert!(disk.device.submit(late).is_err());
    let (mut counts, mut done) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        disk.device.flush_queue();
        let requests = disk.blkback.take_all();
        counts.push(requests.len());
        for request in requests {
            if request.operation == DISCARD {
                disk.blkback.answer(request, UNSUPPORTED);
            } else {
                request.run(&mut memory);
                disk.blkback.answer(request, OKAY);
            }
        }
        done.extend(core::iter::from_fn(|| disk.device.complete()));
    }
    // 24 parts each, of 32 that there is room for.
    assert_eq!(counts, [24, 24, 24, 25, 0, 0, 0, 0, 0, 0]);
    // A flush that is none need not wait for what was not answered.
    let ids: Vec<_> = done.iter().map(|done| (done.id, done.result.is_ok())).collect();
    assert_eq!(ids, [(0, true), (1, true), (2, true), (4, true), (3, true), (5, false)]);
    for completion in done.into_iter().filter(|done| done.id < 4) {
        let at = completion.id as usize % 2 * 2048 * UNIT;
        assert!(completion.buffer.unwrap()[..] == memory[at..at + 2048 * UNIT]);
    }
}

#[test]
fn a_disk_of_another_size_in_its_place_is_not_used() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 0, BlockOperation::Flush);
    disk.back.set_state(5);
    disk.back.put("sectors", "4097");
    come_back(&mut disk);
    assert_eq!(disk.end.take(), Some(ConnectError::Bus(BusError::Changed)));
    assert!(disk.blkback.take().is_none());
    let polled = disk.waiter.poll(|cx| disk.device.poll_ready(cx));
    assert_eq!(polled, Poll::Ready(Err(DeviceError::Gone)));
    assert!(disk.device.complete().is_none());
}

#[test]
fn a_buffer_that_the_old_back_end_keeps_is_not_given_back() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 0, BlockOperation::Read(zeroed(8)));
    disk.device.flush_queue();
    let kept = disk.blkback.take().unwrap();
    disk.back.set_state(5);
    come_back(&mut disk);
    disk.device.flush_queue();
    let request = disk.blkback.take().unwrap();
    disk.blkback.answer(request, OKAY);
    let completion = disk.device.complete().unwrap();
    assert_eq!(
        (completion.result, completion.buffer.is_none()),
        (Err(DeviceError::Protocol), true)
    );
    kept.run(&mut pattern(0, 8));
    drop(kept);
    assert_eq!(guest.resources().1, 0);
}

/// Each read costs the guest the pages that it was to get.
#[test]
fn a_back_end_that_answers_and_keeps_the_pages_is_given_up() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[("feature-max-indirect-segments", "256")]);
    let mut kept = Vec::new();
    for round in 0..10 {
        let operation = BlockOperation::Read(zeroed(512));
        if disk.device.submit(BlockRequest { id: 1, sector: 0, operation }).is_err() {
            assert_eq!(round, 5, "64 pages each");
            let polled = disk.waiter.poll(|cx| disk.device.poll_ready(cx));
            return assert_eq!(polled, Poll::Ready(Err(DeviceError::Protocol)));
        }
        disk.device.flush_queue();
        let mut request = disk.blkback.take().unwrap();
        request.descriptors = None;
        disk.blkback.respond([request.id, 0], OKAY);
        kept.push(request);
        let result = disk.device.complete().map(|completion| completion.result);
        assert_eq!(result, (round < 4).then_some(Err(DeviceError::Protocol)));
    }
    panic!("it goes on");
}

/// What it kept is counted for each connection: others may be in its place, and let go at once.
#[test]
fn what_an_earlier_back_end_has_kept_is_forgotten() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    for round in 0..8 {
        disk.submit(1, 0, BlockOperation::Read(zeroed(400)));
        disk.device.flush_queue();
        let requests = disk.blkback.take_all();
        let pages: usize = requests.iter().map(|request| request.pages.len()).sum();
        assert_eq!(pages, 50);
        requests.iter().for_each(|request| disk.blkback.respond([request.id, 0], OKAY));
        let result = disk.device.complete().map(|completion| completion.result);
        assert_eq!(result, Some(Err(DeviceError::Protocol)), "{round}");
        drop(requests);
        disk.back.set_state(5);
        come_back(&mut disk);
    }
}

#[test]
fn ten_thousand_reconnects_leave_as_much_as_before() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    let in_use = guest.resources();
    disk.submit(1, 0, BlockOperation::Read(zeroed(8)));
    for _ in 0..10_000 {
        disk.device.flush_queue();
        disk.back.set_state(5);
        assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
        come_back(&mut disk);
    }
    disk.device.flush_queue();
    let request = disk.blkback.take().unwrap();
    disk.blkback.answer(request, OKAY);
    assert_eq!(disk.device.complete().unwrap().result, Ok(()));
    assert_eq!((guest.resources(), guest.bench.in_use()), (in_use, (2, 0)));
}

proptest! {
    /// A back end that goes away at any time, with any of its requests answered: each request of the
    /// guest is answered once, and the disk has what was written.
    #[test]
    fn nothing_is_lost_and_nothing_answered_twice(
        orders in prop::collection::vec(0..4u8, 1..5),
        indirect in prop::collection::vec(0..40u8, 1..5),
        steps in prop::collection::vec((0..6u8, 0..60usize, 1..=24usize), 1..80),
    ) {
        let guest = Guest::new();
        let mut disk = connect(&guest, &[]);
        let mut memory = vec![0; 1500 * UNIT];
        let (mut expected, mut count, mut done) = (memory.clone(), 0, Vec::new());
        let mut held: Vec<back::Request> = Vec::new();
        for (what, number, sectors) in steps {
            match what {
                0..=2 => {
                    // No two write the same, for they may be answered in any order.
                    let (sector, bytes) = (count as usize % 60 * 24, pattern(count as usize, sectors));
                    let operation = BlockOperation::Write(buffer(&bytes));
                    let request = BlockRequest { id: count, sector: sector as u64, operation };
                    if count < 60 && disk.device.submit(request).is_ok() {
                        expected[sector * UNIT..(sector + sectors) * UNIT].copy_from_slice(&bytes);
                        count += 1;
                    }
                }
                3 => {
                    disk.device.flush_queue();
                    held.extend(disk.blkback.take_all());
                }
                4 if !held.is_empty() => {
                    let request = held.swap_remove(number % held.len());
                    request.run(&mut memory);
                    disk.blkback.answer(request, OKAY);
                }
                4 => done.extend(core::iter::from_fn(|| disk.device.complete()).map(|c| c.id)),
                _ => {
                    disk.back.set_state(5);
                    held.clear();
                    // Each time another back end.
                    let order = orders[number % orders.len()].to_string();
                    let indirect = indirect[number % indirect.len()].to_string();
                    disk.back.put("max-ring-page-order", &order);
                    disk.back.put("feature-persistent", ["0", "1"][number % 2]);
                    disk.back.put("feature-max-indirect-segments", &indirect);
                    come_back(&mut disk);
                }
            }
        }
        for _ in 0..3 {
            disk.device.flush_queue();
            for request in held.drain(..).chain(disk.blkback.take_all()).collect::<Vec<_>>() {
                request.run(&mut memory);
                disk.blkback.answer(request, OKAY);
            }
            done.extend(core::iter::from_fn(|| disk.device.complete()).map(|c| c.id));
        }
        done.sort_unstable();
        prop_assert!(done.iter().copied().eq(0..count), "{done:?} of {count}");
        prop_assert!(memory == expected);
    }
}
