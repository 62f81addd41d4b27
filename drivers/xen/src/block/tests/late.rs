//! A blkback that is bound anew, and one side is late to hear of the other's end.

use super::{again::come_back, *};
use crate::{block::wire::WORDS, fake::BackRing};

/// A back end that was bound anew works through the rings that it finds until it hears that they are
/// not used any more: what they lead to is as it was.
#[test]
fn what_was_granted_stays_until_the_back_end_has_heard() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 8, BlockOperation::Read(zeroed(8)));
    disk.submit(2, 16, BlockOperation::Read(zeroed(8)));
    disk.device.flush_queue();
    let BlkBack { ring, .. } = disk.blkback;
    drop(ring);
    disk.back.set_state(2);
    assert_eq!(disk.back.front_state().as_deref(), Some("6"));
    assert!(disk.waiter.poll(|cx| disk.device.poll_ready(cx)).is_pending());
    // It has not heard yet.
    disk.blkback = BlkBack::map(&disk.back);
    let mut memory = pattern(5, SECTORS);
    for request in disk.blkback.take_all() {
        assert_eq!(request.pages.len(), 1);
        request.run(&mut memory);
        disk.blkback.answer(request, OKAY);
    }
    assert!(disk.device.complete().is_none());
    let old = disk.back.reference("ring-ref");
    let BlkBack { ring, .. } = disk.blkback;
    drop(ring);
    disk.back.set_state(6);
    disk.device.flush_queue();
    assert!(BackRing::<WORDS>::map(&guest, old).is_none(), "it could still be used");
    disk.back.set_state(2);
    disk.blkback = BlkBack::map(&disk.back);
    disk.back.set_state(4);
    disk.device.flush_queue();
    for request in disk.blkback.take_all() {
        request.run(&mut memory);
        disk.blkback.answer(request, OKAY);
    }
    for id in [1, 2] {
        let completion = disk.device.complete().unwrap();
        assert_eq!((completion.id, completion.result), (id, Ok(())));
        let at = id as usize * 8 * UNIT;
        assert_eq!(&*completion.buffer.unwrap(), &memory[at..at + 8 * UNIT]);
    }
}

/// A back end that is bound anew hears of the end late: after the front end has taken it for one that
/// begins, and has published rings. It closes, and comes to these rings at once.
#[test]
fn a_back_end_that_connects_when_it_was_seen_closed_closes_again() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.back.set_state(5);
    disk.blkback.let_go();
    disk.back.set_state(6);
    disk.device.flush_queue();
    disk.back.set_state(2);
    assert_eq!(disk.back.front_state().as_deref(), Some("4"));
    disk.back.set_state(6);
    assert_eq!(disk.back.front_state().as_deref(), Some("1"));
    disk.blkback = BlkBack::map(&disk.back);
    disk.back.set_state(4);
    assert_eq!(disk.back.front_state().as_deref(), Some("6"));
    come_back(&mut disk);
    let bytes = pattern(5, 1);
    disk.submit(1, 0, BlockOperation::Write(buffer(&bytes)));
    disk.device.flush_queue();
    let mut memory = pattern(3, SECTORS);
    for request in disk.blkback.take_all() {
        request.run(&mut memory);
        disk.blkback.answer(request, OKAY);
    }
    let completion = disk.device.complete().unwrap();
    assert_eq!((completion.id, completion.result), (1, Ok(())));
    assert_eq!(memory[..UNIT], bytes[..UNIT]);
}

/// It has come back before anybody has asked the disk for anything: pages that the last one was granted
/// are not those of this one.
#[test]
fn a_back_end_that_comes_back_unnoticed_has_its_own_pages() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 8, BlockOperation::Read(zeroed(8)));
    disk.device.flush_queue();
    assert_eq!(disk.blkback.take_all().len(), 1);
    disk.back.set_state(5);
    disk.back.put("feature-persistent", "1");
    disk.back.set_state(6);
    disk.back.set_state(2);
    disk.blkback = BlkBack::map(&disk.back);
    disk.back.set_state(4);
    disk.device.flush_queue();
    let memory = pattern(6, SECTORS);
    let request = disk.blkback.take().unwrap();
    request.run(&mut memory.clone());
    disk.blkback.answer(request, OKAY);
    let completion = disk.device.complete().unwrap();
    assert_eq!((completion.id, completion.result), (1, Ok(())));
    assert_eq!(&*completion.buffer.unwrap(), &memory[8 * UNIT..16 * UNIT]);
}
