//! A disk of a guest that goes on in another domain.

use core::task::Poll;

use super::*;

/// The back end of the new domain connects.
fn connect_again<'a>(back: &Back<'a>, nodes: &[(&str, &str)]) -> BlkBack<'a> {
    back.offer(&[FEATURES, nodes].concat());
    assert_eq!(back.front_state().as_deref(), Some("4"));
    let blkback = BlkBack::map(back);
    back.set_state(4);
    blkback
}

#[test]
fn what_was_not_heard_of_is_asked_again() {
    for nodes in [&[][..], &[("feature-persistent", "1")]] {
        let guest = Guest::new();
        drop(guest.sharing.grants.reserve(1).unwrap());
        let mut disk = connect(&guest, nodes);
        let in_use = guest.resources();
        let bytes = pattern(1, 9);
        disk.submit(10, 1, BlockOperation::Write(buffer(&bytes)));
        disk.submit(11, 20, BlockOperation::Read(zeroed(3)));
        disk.device.flush_queue();
        let mut requests = disk.blkback.take_all();
        // Saved in the middle: the answer is there, but what was read is not.
        disk.blkback.answer(requests.remove(1), OKAY);
        drop(requests);
        // What the old domain has mapped is not this one's.
        let BlkBack { ring, .. } = disk.blkback;
        drop(ring);
        disk.back.move_on(&[]);
        assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
        assert!(disk.device.complete().is_none());
        guest.settle();
        disk.blkback = connect_again(&disk.back, nodes);
        assert!(disk.waiter.is_woken());
        assert_eq!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)), Poll::Ready(Ok(())));
        disk.device.flush_queue();
        let mut memory = pattern(3, SECTORS);
        for request in disk.blkback.take_all() {
            request.run(&mut memory);
            disk.blkback.answer(request, OKAY);
        }
        assert_eq!(disk.device.complete().unwrap().id, 10);
        let completion = disk.device.complete().unwrap();
        assert_eq!((completion.id, completion.result), (11, Ok(())));
        assert_eq!(&*completion.buffer.unwrap(), &memory[20 * UNIT..23 * UNIT]);
        assert_eq!(&memory[UNIT..10 * UNIT], &bytes);
        assert!(disk.device.complete().is_none());
        if nodes.is_empty() {
            assert_eq!(guest.resources(), in_use);
        }
        assert!(disk.end.take().is_none());
    }
}

/// Again and again, also before it has connected, nothing is used up.
#[test]
fn many_domains_leave_nothing_behind() {
    let guest = Guest::new();
    drop(guest.sharing.grants.reserve(1).unwrap());
    let mut disk = connect(&guest, &[]);
    let in_use = guest.resources();
    for round in 0..20 {
        disk.submit(round, 5, BlockOperation::Read(zeroed(8)));
        disk.device.flush_queue();
        let BlkBack { ring, .. } = disk.blkback;
        drop(ring);
        disk.back.move_on(&[]);
        disk.device.flush_queue();
        guest.settle();
        if round % 3 == 1 {
            // It has offered its rings.
            disk.back.offer(FEATURES);
            assert_eq!(disk.back.front_state().as_deref(), Some("4"));
        }
        if round % 3 != 0 {
            disk.back.move_on(&[]);
            guest.settle();
        }
        disk.blkback = connect_again(&disk.back, &[]);
        disk.device.flush_queue();
        let mut memory = pattern(3, SECTORS);
        for request in disk.blkback.take_all() {
            request.run(&mut memory);
            disk.blkback.answer(request, OKAY);
        }
        assert_eq!(disk.device.complete().unwrap().id, round);
        assert_eq!(guest.resources(), in_use, "round {round}");
        assert_eq!(guest.bench.in_use(), (2, 0));
    }
}

/// Between the first connection and the task that minds it, too.
#[test]
fn a_disk_that_nobody_minds_yet_connects_again() {
    let guest = Guest::new();
    let mut back = back(&guest);
    back.attach(&[]);
    back.offer(FEATURES);
    let started = begin(&back);
    guest.settle();
    assert_eq!(back.front_state().as_deref(), Some("4"));
    back.set_state(4);
    let Some(Ok((device, minder))) = started.take() else { panic!("it does not connect") };
    back.move_on(&[]);
    let end = guest.spawn(minder.run(Box::new(|_| Box::pin(core::future::pending()))));
    guest.settle();
    let blkback = connect_again(&back, &[]);
    let mut disk = Disk { back, blkback, device, end, waiter: Waiter::new() };
    disk.submit(1, 0, BlockOperation::Read(zeroed(1)));
    disk.device.flush_queue();
    let mut memory = pattern(1, SECTORS);
    for request in disk.blkback.take_all() {
        request.run(&mut memory);
        disk.blkback.answer(request, OKAY);
    }
    assert_eq!(&*disk.device.complete().unwrap().buffer.unwrap(), &memory[..UNIT]);
}
