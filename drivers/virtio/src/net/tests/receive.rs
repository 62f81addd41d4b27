//! The receive queue: small buffers, and long frames.

use super::*;
use crate::net::{
    large::MAX_LARGE,
    receive::{FIRST_BUFFERS, LAST_BUFFERS, LAST_BUFFERS_IF_SPREAD, MAX_WHOLE, SHORT_FRAMES},
};

#[test]
fn receive_buffers_come_back_and_grow() {
    let (device, mut driver) = start(0);
    assert_eq!(usize::from(device.offered(0)), FIRST_BUFFERS);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        for _ in 0..FIRST_BUFFERS {
            deliver(&device, 0, b"frame");
        }
        for _ in 0..FIRST_BUFFERS {
            assert!(driver.receive().is_some());
        }
        assert!(driver.poll_ready(&mut cx).is_pending());
    }
    assert_eq!(usize::from(device.offered(0)), 2 * FIRST_BUFFERS);
}

#[test]
fn a_stack_that_hoards_frames_loses_new_ones_only() {
    let (device, mut driver) = start(0);
    let mut hoard = Vec::new();
    for _ in 0..2 * MAX_BUFFERS {
        deliver(&device, 0, b"frame");
        hoard.extend(driver.receive());
    }
    assert_eq!(hoard.len(), MAX_BUFFERS - LAST_BUFFERS);
    assert_eq!(usize::from(device.offered(0)), LAST_BUFFERS);
    hoard.truncate(1);
    deliver(&device, 0, b"frame");
    assert!(driver.receive().is_some());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(usize::from(device.offered(0)), 2 * FIRST_BUFFERS);
}

#[test]
fn the_last_buffer_is_left_to_answer_with() {
    let (device, mut driver) = start(0);
    let mut hoard: Vec<_> =
        core::iter::from_fn(|| FrameBuf::allocate(&driver.pool(), 12)).collect();
    let mut cx = Context::from_waker(Waker::noop());
    // Frames go up, though there are no buffers to take their places, and come back to be sent.
    for _ in 0..100 {
        deliver(&device, 0, b"question");
        drop(driver.receive().expect("a frame"));
        assert!(driver.poll_ready(&mut cx).is_pending());
        driver.transmit(frame(&driver, b"answer")).unwrap();
        driver.flush();
        let (id, _) = device.take(1).unwrap();
        device.put_used(1, id.into(), 0);
        assert_eq!(driver.transmit_room(), QUEUE_SIZE);
    }
    assert_eq!(usize::from(device.offered(0)), FIRST_BUFFERS - 1);
    hoard.clear();
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(usize::from(device.offered(0)), FIRST_BUFFERS);
}

/// Sends a long TCP packet to the driver in as many buffers as it takes. Announces as many, or so
/// many more. Returns how many it took.
fn spread(device: &FakeDevice, more: u16, frame: &[u8]) -> usize {
    let mut bytes = vec![0; MAX_SIZE_FOR_TEST];
    (bytes[0], bytes[1]) = (1, 1);
    bytes.extend(frame);
    let (mut buffers, mut room) = (Vec::new(), 0);
    while room < bytes.len() {
        let (id, parts) = device.take(0).expect("no receive buffer");
        room += parts[0].length;
        buffers.push((id, parts[0]));
    }
    bytes[10..12].copy_from_slice(&(buffers.len() as u16 + more).to_le_bytes());
    let mut rest = &bytes[..];
    for (id, part) in &buffers {
        let (now, later) = rest.split_at(part.length.min(rest.len()));
        part.write(now);
        device.put_used(0, (*id).into(), now.len() as u32);
        rest = later;
    }
    buffers.len()
}

#[test]
fn a_frame_in_several_buffers_is_put_together() {
    let mut cx = Context::from_waker(Waker::noop());
    for length in [1, 2000, 2036, 2037, 10_000, 40_000, 65_536] {
        let frame: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let (device, mut driver) = start(SPREAD);
        for _ in 0..1000 {
            spread(&device, 0, &frame);
            let received = driver.receive().unwrap();
            assert!(received.checked && received.frame.bytes() == frame);
            drop(received);
            assert!(driver.poll_ready(&mut cx).is_pending());
            assert!(usize::from(device.offered(0)) <= QUEUE_SIZE);
        }
    }
}

#[test]
fn where_one_long_frame_comes_the_next_ones_need_no_copy() {
    let (device, mut driver) = start(SPREAD);
    let mut cx = Context::from_waker(Waker::noop());
    let mut receive = |device: &FakeDevice, length: usize| {
        let buffers = spread(device, 0, &vec![7; length]);
        assert!(driver.receive().is_some_and(|received| received.frame.bytes() == vec![7; length]));
        assert!(driver.poll_ready(&mut cx).is_pending());
        buffers
    };
    for _ in 0..3 {
        assert_eq!(receive(&device, 64_000), 32);
        // Those that were in the queue before come first.
        let rest = (0..100).find(|_| receive(&device, 64_000) == 1);
        assert!(rest.is_some());
        for _ in 0..100 {
            assert_eq!(receive(&device, 65_000), 1);
            assert_eq!(receive(&device, 60), 1);
            assert_eq!(usize::from(device.offered(0)), MAX_LARGE - 1);
        }
        for _ in 0..SHORT_FRAMES {
            receive(&device, 60);
        }
        for _ in 0..MAX_LARGE {
            receive(&device, 60);
        }
        assert!(usize::from(device.offered(0)) >= LAST_BUFFERS_IF_SPREAD);
    }
}

/// A driver that expects long frames: all buffers in its queue are large.
fn start_with_large_buffers() -> (FakeDevice, VirtioNet) {
    let (device, mut driver) = start(SPREAD);
    for _ in 0..100 {
        spread(&device, 0, &[7; 64_000]);
        assert!(driver.receive().is_some());
    }
    assert_eq!(usize::from(device.offered(0)), MAX_LARGE - 1);
    (device, driver)
}

#[test]
fn frames_without_content_leave_room_for_a_long_one() {
    let (device, mut driver) = start_with_large_buffers();
    for _ in 0..10 {
        spread(&device, 0, &[]);
        assert!(driver.receive().is_none());
    }
    spread(&device, 0, &[7; 65_000]);
    assert_eq!(driver.receive().unwrap().frame.bytes(), [7; 65_000]);
}

#[test]
fn short_frames_do_not_keep_large_buffers() {
    let (device, mut driver) = start_with_large_buffers();
    let mut hoard = Vec::new();
    for number in 0..64 {
        spread(&device, 0, &[number; 60]);
        hoard.extend(driver.receive());
    }
    assert_eq!(hoard.len(), 64);
    for (number, received) in (0..).zip(&hoard) {
        assert_eq!(received.frame.bytes(), [number; 60]);
        assert!(received.checked && received.frame.whole().len() == BUFFER_SIZE);
    }
    assert_eq!(usize::from(device.offered(0)), MAX_LARGE - 1);
}

#[test]
fn a_stack_that_hoards_long_frames_takes_no_more_large_buffers_than_there_are() {
    let (device, mut driver) = start(SPREAD);
    let mut hoard = Vec::new();
    for number in 0..2000 {
        // Long enough without long frames that they are not expected any more, too.
        let length = if number % 500 < 100 { 64_000 } else { 60 };
        spread(&device, 0, &vec![7; length]);
        hoard
            .extend(driver.receive().filter(|received| received.frame.whole().len() > BUFFER_SIZE));
    }
    assert!((MAX_LARGE..=MAX_LARGE + MAX_WHOLE).contains(&hoard.len()), "{}", hoard.len());
    hoard.clear();
    for _ in 0..100 {
        spread(&device, 0, &[7; 64_000]);
        assert!(driver.receive().is_some());
    }
    assert_eq!(usize::from(device.offered(0)), MAX_LARGE - 1);
}

#[test]
fn without_a_small_buffer_a_short_frame_is_dropped_and_sent_ones_are_freed() {
    let (device, mut driver) = start_with_large_buffers();
    driver.transmit(frame(&driver, b"frame")).unwrap();
    let _hoard: Vec<_> = core::iter::from_fn(|| FrameBuf::allocate(&driver.pool(), 12)).collect();
    spread(&device, 0, &[7; 60]);
    assert!(driver.receive().is_none());
    assert_eq!(usize::from(device.offered(0)), MAX_LARGE - 1);
    driver.flush();
    let (id, _) = device.take(1).unwrap();
    device.put_used(1, id.into(), 0);
    assert!(driver.receive.is_short());
    spread(&device, 0, &[7; 60]);
    assert!(driver.receive().is_some());
    assert!(!driver.receive.is_short());
}

#[test]
fn memory_of_large_buffers_goes_back_when_the_last_one_does() {
    let (device, mut driver) = start_with_large_buffers();
    let mut cx = Context::from_waker(Waker::noop());
    spread(&device, 0, &[7; 64_000]);
    let held = driver.receive().unwrap();
    for _ in 0..usize::from(SHORT_FRAMES) + MAX_LARGE {
        spread(&device, 0, &[7; 60]);
        assert!(driver.receive().is_some());
    }
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert!(driver.receive.large_pool.has_memory());
    drop(held);
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert!(!driver.receive.large_pool.has_memory());
}

#[test]
fn a_stack_that_hoards_long_frames_does_not_stall_the_device() {
    let (device, mut driver) = start(SPREAD);
    let mut cx = Context::from_waker(Waker::noop());
    let mut hoard = Vec::new();
    for number in 0..2000 {
        spread(&device, 0, &vec![7; if number % 3 == 0 { 65_000 } else { 100 }]);
        hoard.extend(driver.receive());
        if number % 700 == 699 {
            hoard.clear();
        }
        assert!(driver.poll_ready(&mut cx).is_pending());
    }
}

#[test]
fn a_device_that_returns_empty_buffers_for_ever_is_left_for_a_while() {
    let (device, mut driver) = start(0);
    let (id, _) = device.take(0).unwrap();
    // Also the fresh buffers that come in the place of the first one.
    let count = 10 * QUEUE_SIZE;
    (0..count).for_each(|_| device.put_used(0, id.into(), 0));
    let mut cx = Context::from_waker(Waker::noop());
    let mut looks = 0;
    while driver.receive.queue.has_used() {
        assert!(driver.poll_ready(&mut cx).is_ready());
        assert!(driver.receive().is_none() && !driver.broken);
        looks += 1;
    }
    assert_eq!(looks, count / QUEUE_SIZE);
}

#[test]
fn a_frame_longer_than_any_packet_is_dropped() {
    let (device, mut driver) = start(SPREAD);
    spread(&device, 0, &[7; 65_537]);
    assert!(driver.receive().is_none());
    spread(&device, 0, &[7; 100]);
    assert!(driver.receive().is_some());
}

#[test]
fn a_frame_that_lacks_buffers_ends_the_device() {
    let (device, mut driver) = start(SPREAD);
    spread(&device, 1, &[7; 4000]);
    assert!(driver.receive().is_none());
    assert_eq!(driver.transmit(frame(&driver, b"frame")), Err(DeviceError::Gone));
}

#[test]
fn long_frames_are_asked_for_only_where_they_can_be_spread() {
    let (device, mut driver) = start(SPREAD & !features::MRG_RXBUF);
    assert_eq!(usize::from(device.offered(0)), FIRST_BUFFERS);
    // So this one, which was never agreed on, is dropped.
    spread(&device, 0, &[7; 100]);
    assert!(driver.receive().is_none());
    deliver(&device, 0, b"frame");
    assert!(driver.receive().is_some());
}

proptest! {
    /// Whatever comes and whatever the stack holds, the queue has room for the longest packet, and
    /// the stack gets it once it holds nothing more.
    #[test]
    fn there_is_always_room_for_a_long_frame(
        steps in prop::collection::vec(
            (prop_oneof![Just(0), 1..2100_usize, 60_000..65_537_usize], 1..300_usize, 0..4_u8),
            1..20,
        ),
    ) {
        let (device, mut driver) = start(SPREAD);
        let mut cx = Context::from_waker(Waker::noop());
        let mut hoard = Vec::new();
        for (length, times, end) in steps {
            for _ in 0..times {
                spread(&device, 0, &vec![7; length]);
                hoard.extend(driver.receive());
            }
            match end {
                0 => hoard.clear(),
                1 => hoard.truncate(1),
                2 => _ = driver.poll_ready(&mut cx),
                _ => {}
            }
        }
        drop(hoard);
        spread(&device, 0, &[7; 65_536]);
        prop_assert!(driver.receive().is_some());
    }
}
