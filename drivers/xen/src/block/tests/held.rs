//! A blkback that goes away and comes back, and still uses pages of before.

use core::{mem, time::Duration};

use super::*;

/// What has blkback map many pages, and keep them mapped.
const MANY: [(&str, &str); 2] =
    [("feature-persistent", "1"), ("feature-max-indirect-segments", "256")];

/// Lets more time pass than a back end gets to let go.
fn wait(guest: &Guest) {
    for _ in 0..100 {
        guest.elapse(Duration::from_millis(100));
    }
}

/// Has blkback map many pages, and go and come back without letting go of them.
fn keep_many(disk: &mut Disk<'_>, id: u64) {
    disk.submit(id, 0, BlockOperation::Write(zeroed(2048)));
    disk.device.flush_queue();
    for request in disk.blkback.take_all() {
        disk.blkback.answer(request, OKAY);
    }
    assert_eq!(disk.device.complete().unwrap().result, Ok(()));
    disk.back.set_state(6);
    disk.device.flush_queue();
    disk.back.set_state(2);
    assert_eq!(disk.back.front_state().as_deref(), Some("1"));
    assert!(disk.back.guest.resources().1 > 256);
}

/// If it kept what it has mapped each time, it would have all memory in the end.
#[test]
fn a_back_end_that_keeps_pages_twice_gets_no_others() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &MANY);
    keep_many(&mut disk, 1);
    wait(&guest);
    assert_eq!(disk.back.front_state().as_deref(), Some("4"));
    let first = mem::replace(&mut disk.blkback, BlkBack::map(&disk.back));
    disk.back.set_state(4);
    keep_many(&mut disk, 2);
    wait(&guest);
    assert_eq!(disk.back.front_state().as_deref(), Some("1"));
    drop(first);
    // What it keeps of the second connection is for the next time.
    wait(&guest);
    assert_eq!(disk.back.front_state().as_deref(), Some("4"));
    let Disk { back, blkback: _second, mut device, .. } = disk;
    let mut blkback = BlkBack::map(&back);
    back.set_state(4);
    let read = BlockRequest { id: 3, sector: 0, operation: BlockOperation::Read(zeroed(8)) };
    assert!(device.submit(read).is_ok());
    device.flush_queue();
    let request = blkback.take().unwrap();
    blkback.answer(request, OKAY);
    assert_eq!(device.complete().unwrap().result, Ok(()));
}

/// As Linux' does that had requests under way when its connection ended.
#[test]
fn a_back_end_may_keep_pages_until_it_is_connected_again() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &MANY);
    for id in 0..5 {
        keep_many(&mut disk, id);
        wait(&guest);
        assert_eq!(disk.back.front_state().as_deref(), Some("4"));
        disk.blkback = BlkBack::map(&disk.back);
        disk.back.set_state(4);
    }
}

/// As Linux' does that still has such requests then.
#[test]
fn a_back_end_that_keeps_pages_may_refuse_a_connection() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &MANY);
    keep_many(&mut disk, 1);
    for _ in 0..3 {
        wait(&guest);
        assert_eq!(disk.back.front_state().as_deref(), Some("4"));
        disk.back.set_state(5);
        disk.back.set_state(6);
        assert_eq!(disk.back.front_state().as_deref(), Some("1"));
        disk.back.set_state(2);
    }
    // It keeps the rings of each such connection, which is tried less and less often.
    let mut rings = Vec::new();
    let tries = (0..100).take_while(|_| {
        wait(&guest);
        if disk.back.front_state().as_deref() != Some("4") {
            return false;
        }
        rings.push(BlkBack::map(&disk.back));
        disk.back.set_state(6);
        wait(&guest);
        wait(&guest);
        disk.back.set_state(2);
        true
    });
    let tries = tries.count();
    assert!((60..70).contains(&tries), "it has got {tries} rings");
}
