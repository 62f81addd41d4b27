//! Disks with several queues.

use core::task::Poll;
use std::{collections::BTreeMap, format, ops::Range, sync::LazyLock, vec};

use proptest::prelude::*;

use super::*;

const OFFERED: &str = "multi-queue-max-queues";

/// A disk with several queues.
struct Wide<'a> {
    queues: Vec<BlkBack<'a>>,
    back: Back<'a>,
    device: Box<dyn BlockDevice>,
    end: Rc<Cell<Option<ConnectError>>>,
    waiter: Waiter,
}

/// Maps the queues that the front end has published.
fn map_all<'a>(back: &Back<'a>) -> Vec<BlkBack<'a>> {
    let count = back.front("multi-queue-num-queues").map_or(1, |count| count.parse().unwrap());
    let map = |index: usize| match count {
        1 => BlkBack::map(back),
        _ => BlkBack::map_queue(back, &format!("queue-{index}/")),
    };
    (0..count).map(map).collect()
}

/// A disk that was asked for `wanted` queues, whose back end has these nodes, too.
fn connect_wide<'a>(guest: &'a Guest, wanted: usize, nodes: &[(&str, &str)]) -> Wide<'a> {
    let back = back(guest);
    let start = async move |store: &Store, sharing, front: &'static str| {
        super::super::start(store, sharing, front, BUDGET, wanted).await
    };
    let features = [FEATURES, nodes].concat();
    let (Working { device, end }, queues) = back.connect(start, &[], &features, map_all);
    Wide { queues, back, device, end, waiter: Waiter::new() }
}

impl Wide<'_> {
    fn submit(&mut self, id: u64, sector: u64, operation: BlockOperation) {
        self.device.submit(BlockRequest { id, sector, operation }).unwrap();
    }

    /// The numbers of the requests that are complete, all of them well.
    fn completed(&mut self) -> Vec<u64> {
        let mut done = Vec::new();
        while let Some(completion) = self.device.complete() {
            assert_eq!(completion.result, Ok(()));
            done.push(completion.id);
        }
        done
    }
}

#[test]
fn there_are_as_many_queues_as_both_sides_want() {
    for (wanted, offered, expected) in
        [(1, "4", 1), (2, "4", 2), (4, "3", 3), (4, "0", 1), (4, "x", 1), (99, "1000", 8)]
    {
        for order in ["0", "1"] {
            let guest = Guest::new();
            let nodes = [(OFFERED, offered), ("max-ring-page-order", order)];
            let disk = connect_wide(&guest, wanted, &nodes);
            assert_eq!(disk.queues.len(), expected, "{wanted} of {offered}");
            assert_eq!(disk.back.front("event-channel").is_some(), expected == 1);
        }
    }
}

#[test]
fn requests_are_spread_and_answers_come_from_all() {
    let guest = Guest::new();
    let mut disk = connect_wide(&guest, 3, &[(OFFERED, "3")]);
    for id in 0..9 {
        disk.submit(id, id, BlockOperation::Write(buffer(&pattern(id as usize, 1))));
    }
    disk.device.flush_queue();
    assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
    let mut image = vec![0; SECTORS * UNIT];
    for queue in &mut disk.queues {
        assert_eq!(queue.events(), 1, "one for all");
        let requests = queue.take_all();
        assert_eq!(requests.len(), 3);
        for request in requests {
            request.run(&mut image);
            queue.answer(request, OKAY);
        }
    }
    assert!(disk.waiter.is_woken());
    let mut done = disk.completed();
    done.sort_unstable();
    assert_eq!(done, (0..9).collect::<Vec<_>>());
    assert_eq!(image[..9 * UNIT], (0..9).flat_map(|id| pattern(id, 1)).collect::<Vec<_>>());
}

#[test]
fn each_queue_wakes() {
    let guest = Guest::new();
    let mut disk = connect_wide(&guest, 3, &[(OFFERED, "3")]);
    for index in [2, 0, 1] {
        for id in 0..3 {
            disk.submit(id, id, BlockOperation::Read(zeroed(1)));
        }
        disk.device.flush_queue();
        assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
        let request = disk.queues[index].take().unwrap();
        disk.queues[index].answer(request, OKAY);
        assert!(disk.waiter.is_woken());
        assert_eq!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)), Poll::Ready(Ok(())));
        for queue in &mut disk.queues {
            for request in queue.take_all() {
                queue.answer(request, OKAY);
            }
        }
        assert_eq!(disk.completed().len(), 3);
    }
}

#[test]
fn a_queue_that_breaks_the_protocol_ends_the_disk() {
    let guest = Guest::new();
    let mut disk = connect_wide(&guest, 2, &[(OFFERED, "2")]);
    disk.queues[1].respond([5, 0], OKAY);
    assert!(disk.device.complete().is_none());
    let polled = disk.waiter.poll(|cx| disk.device.poll_ready(cx));
    assert_eq!(polled, Poll::Ready(Err(DeviceError::Protocol)));
}

#[test]
fn what_was_not_answered_is_asked_again_through_other_queues() {
    let guest = Guest::new();
    let mut disk = connect_wide(&guest, 4, &[(OFFERED, "4")]);
    let mut image = vec![0; SECTORS * UNIT];
    for id in 0..20 {
        disk.submit(id, id, BlockOperation::Write(buffer(&pattern(id as usize, 1))));
    }
    disk.device.flush_queue();
    for (index, offered) in ["1", "3", "2"].into_iter().enumerate() {
        // Some are answered before it goes.
        for queue in &mut disk.queues {
            for request in queue.take_all().into_iter().take(index) {
                request.run(&mut image);
                queue.answer(request, OKAY);
            }
        }
        disk.back.set_state(6);
        disk.back.put(OFFERED, offered);
        disk.back.set_state(2);
        disk.queues = map_all(&disk.back);
        assert_eq!(disk.queues.len().to_string(), offered);
        disk.back.set_state(4);
        let _ = disk.waiter.poll(|cx| disk.device.poll_ready(cx));
    }
    for queue in &mut disk.queues {
        for request in queue.take_all() {
            request.run(&mut image);
            queue.answer(request, OKAY);
        }
    }
    let mut done = disk.completed();
    done.sort_unstable();
    assert_eq!(done, (0..20).collect::<Vec<_>>());
    assert_eq!(image[..20 * UNIT], (0..20).flat_map(|id| pattern(id, 1)).collect::<Vec<_>>());
    assert!(disk.end.take().is_none());
}

/// A disk on which each sector is different.
static IMAGE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..SECTORS).flat_map(|sector| pattern(sector, 1)).collect());

proptest! {
    /// Each request is answered once, with its own data, whichever queue is served when.
    #[test]
    fn requests_are_answered_once(
        steps in proptest::collection::vec((1_usize..40, 0_usize..3, 0_usize..4), 1..60),
        indirect in any::<bool>(),
        persistent in any::<bool>(),
    ) {
        let guest = Guest::new();
        let mut nodes = vec![(OFFERED, "3")];
        nodes.extend(indirect.then_some(("feature-max-indirect-segments", "32")));
        nodes.extend(persistent.then_some(("feature-persistent", "1")));
        let mut disk = connect_wide(&guest, 3, &nodes);
        let mut image = IMAGE.clone();
        let mut serve = |queue: &mut BlkBack<'_>, count: usize| {
            for _ in 0..count {
                let Some(request) = queue.take() else { return };
                request.run(&mut image);
                queue.answer(request, OKAY);
            }
        };
        let mut open = BTreeMap::new();
        let check = |device: &mut Box<dyn BlockDevice>, open: &mut BTreeMap<u64, Range<usize>>| {
            while let Some(completion) = device.complete() {
                let sectors = open.remove(&completion.id).expect("asked");
                let expected = &IMAGE[sectors.start * UNIT..sectors.end * UNIT];
                assert_eq!(completion.result, Ok(()));
                assert!(completion.buffer.expect("the data")[..] == *expected);
            }
        };
        for (id, (sectors, queue, served)) in steps.into_iter().enumerate() {
            let first = id * 37 % (SECTORS - 40);
            let operation = BlockOperation::Read(zeroed(sectors));
            let request = BlockRequest { id: id as u64, sector: first as u64, operation };
            if disk.device.submit(request).is_ok() {
                open.insert(id as u64, first..first + sectors);
            }
            disk.device.flush_queue();
            serve(&mut disk.queues[queue], served);
            check(&mut disk.device, &mut open);
        }
        // What waited for room follows when there is some.
        while !open.is_empty() {
            disk.queues.iter_mut().for_each(|queue| serve(queue, 1000));
            let before = open.len();
            check(&mut disk.device, &mut open);
            prop_assert!(open.len() < before, "{} are never answered", before);
        }
    }
}
