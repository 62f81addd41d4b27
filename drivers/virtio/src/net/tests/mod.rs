//! The driver against a device played by the test.

mod receive;

use alloc::{sync::Arc, task::Wake, vec, vec::Vec};
use core::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Waker,
};

use mayfly_device::{Checksums, InterruptHandler};
use proptest::prelude::*;
use virtio_drivers::transport::DeviceType;

use super::*;
use crate::{
    fake::{self, FakeDevice},
    negotiate::EVENT_IDX,
};

const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

fn start(offered: u64) -> (FakeDevice, VirtioNet) {
    let mut configuration = MAC.to_vec();
    configuration.extend([1, 0, 1, 0]);
    configuration.extend(1400u16.to_le_bytes());
    let (device, transport) =
        fake::device(DeviceType::Network, offered | features::MAC, &configuration, 2);
    let driver = VirtioNet::new(transport, device.line).unwrap();
    (device, driver)
}

/// Sends a frame to the driver, after a header with `flags`.
fn deliver(device: &FakeDevice, flags: u8, frame: &[u8]) {
    let (id, parts) = device.take(0).expect("no receive buffer");
    let mut bytes = vec![0; MAX_SIZE_FOR_TEST];
    bytes[0] = flags;
    bytes.extend(frame);
    parts[0].write(&bytes);
    device.put_used(0, id.into(), bytes.len() as u32);
}

/// What it takes for frames to be spread over buffers.
const SPREAD: u64 = features::GUEST_CSUM | features::GUEST_TSO4 | features::MRG_RXBUF;

const MAX_SIZE_FOR_TEST: usize = header::MAX_SIZE;

fn frame(driver: &VirtioNet, bytes: &[u8]) -> FrameBuf {
    let mut frame = FrameBuf::allocate(&driver.pool(), driver.info().headroom).unwrap();
    let start = frame.headroom();
    assert!(frame.set_range(start, start + bytes.len()));
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_address_that_is_not_of_one_card_is_refused() {
    for mac in [[1, 0, 0x5e, 0, 0, 1], [0xff; 6], [0; 6]] {
        let (device, transport) = fake::device(DeviceType::Network, features::MAC, &mac, 2);
        assert!(VirtioNet::new(transport, device.line).is_err(), "{mac:?}");
    }
    let (device, transport) = fake::device(DeviceType::Network, features::MAC, &MAC, 2);
    assert!(VirtioNet::new(transport, device.line).is_ok());
}

#[test]
fn frames_go_both_ways() {
    let (device, mut driver) = start(features::MTU);
    assert_eq!((driver.info().mac, driver.info().mtu), (MAC, 1400));
    assert_eq!(driver.info().checksums, Checksums::default());
    deliver(&device, 0, b"hello, I am a frame");
    let received = driver.receive().unwrap();
    assert_eq!(received.frame.bytes(), b"hello, I am a frame");
    assert!(!received.checked);
    assert!(driver.receive().is_none());

    driver.transmit(frame(&driver, b"and so am I")).unwrap();
    assert_eq!(device.notified(1), 0);
    driver.flush();
    assert_eq!(device.notified(1), 1);
    let (id, parts) = device.take(1).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].read()[..12], [0; 12]);
    assert_eq!(parts[0].read()[12..], *b"and so am I");
    device.put_used(1, id.into(), 0);
    assert_eq!(driver.transmit_room(), QUEUE_SIZE);
}

#[test]
fn notifications_and_interrupts_come_only_when_needed() {
    let (device, mut driver) = start(0);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert!(device.wants_interrupt(0) && !device.wants_interrupt(1));

    deliver(&device, 0, b"frame");
    device.line.interrupt();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(driver.poll_ready(&mut cx).is_ready());
    assert!(!device.wants_interrupt(0));
    assert!(driver.receive().is_some());

    device.suppress_notifications(1, true);
    driver.transmit(frame(&driver, b"frame")).unwrap();
    driver.flush();
    assert_eq!(device.notified(1), 0);
    device.suppress_notifications(1, false);
    driver.transmit(frame(&driver, b"frame")).unwrap();
    driver.flush();
    driver.flush();
    assert_eq!(device.notified(1), 1);
}

#[test]
fn a_notification_that_was_left_out_in_doubt_is_made_up_for() {
    let (device, mut driver) = start(0);
    let mut cx = Context::from_waker(Waker::noop());
    device.suppress_notifications(1, true);
    driver.transmit(frame(&driver, b"frame")).unwrap();
    driver.flush();
    // The device has gone to sleep meanwhile, without having seen the frame.
    device.suppress_notifications(1, false);
    assert_eq!(device.notified(1), 0);
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(device.notified(1), 1);
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(device.notified(1), 1);
}

#[test]
fn a_device_that_needs_a_reset_is_gone() {
    let (device, mut driver) = start(0);
    device.ask_for_reset();
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(driver.poll_ready(&mut cx), Poll::Ready(Err(DeviceError::Gone)));
}

#[test]
fn a_full_queue_wakes_the_stack_when_it_drains() {
    let (device, mut driver) = start(0);
    for _ in 0..QUEUE_SIZE {
        driver.transmit(frame(&driver, b"frame")).unwrap();
    }
    assert_eq!(driver.transmit(frame(&driver, b"one too many")), Err(DeviceError::OutOfMemory));
    driver.flush();
    assert_eq!(driver.transmit_room(), 0);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert!(device.wants_interrupt(1));
    for sent in 1..=ENOUGH_ROOM {
        assert!(driver.poll_ready(&mut cx).is_pending(), "woken after {sent} frames");
        let (id, _) = device.take(1).unwrap();
        device.put_used(1, id.into(), 0);
    }
    assert!(driver.poll_ready(&mut cx).is_ready());
    assert_eq!(driver.transmit_room(), ENOUGH_ROOM);
}

#[test]
fn events_say_when_to_interrupt_and_to_notify() {
    let (device, mut driver) = start(EVENT_IDX);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!((device.used_event(0), device.used_event(1)), (0, NEVER_FROM_0));
    deliver(&device, 0, b"frame");
    assert!(driver.poll_ready(&mut cx).is_ready());
    assert_eq!(device.used_event(0), NEVER_FROM_0);
    assert!(driver.receive().is_some());
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(device.used_event(0), 1);
    // Round the wrap of the indices, where a plain comparison goes wrong.
    for number in 0..70_000_u32 {
        let behind = if number % 3 == 0 { 0 } else { 1000 };
        device.set_available_event(1, (number as u16).wrapping_sub(behind));
        let before = device.notified(1);
        driver.transmit(frame(&driver, b"frame")).unwrap();
        driver.flush();
        assert_eq!(device.notified(1) - before, usize::from(number % 3 == 0), "{number}");
        let (id, _) = device.take(1).unwrap();
        device.put_used(1, id.into(), 0);
    }
    // A full queue is to be reported when half of it is free.
    while driver.transmit_room() > 0 {
        driver.transmit(frame(&driver, b"frame")).unwrap();
    }
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(device.used_event(1), (70_000 + ENOUGH_ROOM - 1) as u16);
}

/// Where an event is put that is not to come, when nothing was used yet.
const NEVER_FROM_0: u16 = 0x8000;

#[test]
fn a_wish_to_be_notified_in_doubt_is_looked_at_again() {
    let (device, mut driver) = start(EVENT_IDX);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(driver.poll_ready(&mut cx).is_pending());
    device.set_available_event(1, 1000);
    driver.transmit(frame(&driver, b"frame")).unwrap();
    driver.flush();
    driver.transmit(frame(&driver, b"frame")).unwrap();
    driver.flush();
    assert_eq!(device.notified(1), 0);
    // It wanted to hear of the first one, and its wish is only seen now.
    device.set_available_event(1, 0);
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(device.notified(1), 1);
}

#[test]
fn a_notification_saves_the_reading_of_the_status() {
    let (device, mut driver) = start(EVENT_IDX);
    let mut cx = Context::from_waker(Waker::noop());
    let reads = || device.state.borrow().status_reads;
    let send = |driver: &mut VirtioNet| {
        driver.transmit(frame(driver, b"frame")).unwrap();
        driver.flush();
    };
    deliver(&device, 0, b"frame");
    assert!(driver.receive().is_some());
    let before = reads();
    device.set_available_event(1, 0);
    send(&mut driver);
    assert_eq!((device.notified(1), device.used_event(0)), (1, 1));
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(reads(), before);
    // Not of use a second time, nor when the device did not want to be notified.
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(reads(), before + 1);
    device.set_available_event(1, 1000);
    send(&mut driver);
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!(reads(), before + 2);
    // Nor after something else has happened.
    device.set_available_event(1, 2);
    send(&mut driver);
    deliver(&device, 0, b"frame");
    assert!(driver.receive().is_some());
    assert!(driver.poll_ready(&mut cx).is_pending());
    assert_eq!((device.used_event(0), reads()), (2, before + 3));
    // A frame that came at the same time is not overlooked.
    device.set_available_event(1, 3);
    send(&mut driver);
    deliver(&device, 0, b"frame");
    assert!(driver.poll_ready(&mut cx).is_ready());
}

#[test]
fn checksums_and_segments_are_described_to_the_device() {
    let (device, mut driver) = start(features::CSUM | features::GUEST_CSUM | features::HOST_TSO4);
    assert_eq!(driver.info().checksums, Checksums { on_transmit: true, on_receive: true });
    let mut tcp = vec![0; 14 + 20 + 20];
    tcp[12..14].copy_from_slice(&[8, 0]);
    tcp[14] = 0x45;
    tcp[23] = 6;
    tcp[46] = 5 << 4;
    driver.transmit_segmented(frame(&driver, &tcp), NonZeroU16::new(1448).unwrap()).unwrap();
    driver.flush();
    let (_, parts) = device.take(1).unwrap();
    // NEEDS_CSUM, TCPv4, 54 bytes of headers, 1448 each, sum from 34 into 34 + 16.
    assert_eq!(parts[0].read()[..12], [1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0]);
    assert_eq!(
        driver.transmit_segmented(frame(&driver, b"not TCP"), NonZeroU16::MIN),
        Err(DeviceError::Unsupported)
    );
    for (flags, checked) in [(0, false), (1, true), (2, true)] {
        deliver(&device, flags, b"frame");
        assert_eq!(driver.receive().unwrap().checked, checked);
    }
}

#[test]
fn a_buffer_that_is_not_out_ends_the_device() {
    let (device, mut driver) = start(0);
    deliver(&device, 0, b"frame");
    device.put_used(0, 63, 20);
    assert!(driver.receive().is_some());
    assert!(driver.receive().is_none());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(driver.poll_ready(&mut cx), Poll::Ready(Err(DeviceError::Protocol)));
    assert_eq!(driver.transmit(frame(&driver, b"frame")), Err(DeviceError::Gone));
}

#[derive(Clone, Debug)]
enum Mischief {
    Used { queue: bool, id: u32, length: u32 },
    Skew { queue: bool, by: u16 },
    Deliver(Vec<u8>),
    Send,
    Receive,
    Poll,
}

fn mischief() -> impl Strategy<Value = Mischief> {
    prop_oneof![
        (any::<bool>(), prop_oneof![0..70u32, any::<u32>()], prop_oneof![0..3000u32, any::<u32>()])
            .prop_map(|(queue, id, length)| Mischief::Used { queue, id, length }),
        (any::<bool>(), any::<u16>()).prop_map(|(queue, by)| Mischief::Skew { queue, by }),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Mischief::Deliver),
        Just(Mischief::Send),
        Just(Mischief::Receive),
        Just(Mischief::Poll),
    ]
}

proptest! {
    /// Whatever the device says in the used rings, the driver neither panics nor hangs, and what it
    /// hands out lies within its buffers.
    #[test]
    fn a_hostile_device_is_survived(
        spreads in any::<bool>(),
        steps in prop::collection::vec(mischief(), 0..60),
    ) {
        let (device, mut driver) = start(features::CSUM | if spreads { SPREAD } else { 0 });
        let most = if spreads { LARGE_BUFFER_SIZE } else { BUFFER_SIZE };
        let mut cx = Context::from_waker(Waker::noop());
        for step in steps {
            match step {
                Mischief::Used { queue, id, length } => device.put_used(queue.into(), id, length),
                Mischief::Skew { queue, by } => device.skew_used(queue.into(), by),
                Mischief::Deliver(bytes) => {
                    if let Some((id, parts)) = device.take(0) {
                        parts[0].write(&bytes);
                        device.put_used(0, id.into(), bytes.len() as u32);
                    }
                }
                Mischief::Send => {
                    if let Some(frame) = FrameBuf::allocate(&driver.pool(), 12) {
                        let _ = driver.transmit(frame);
                    }
                    driver.flush();
                    let _ = driver.transmit_room();
                }
                Mischief::Receive => {
                    while let Some(received) = driver.receive() {
                        prop_assert!(received.frame.bytes().len() <= most);
                    }
                }
                Mischief::Poll => {
                    let _ = driver.poll_ready(&mut cx);
                }
            }
        }
    }
}
