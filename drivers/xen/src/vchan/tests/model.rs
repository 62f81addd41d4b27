//! The protocol of the indices, in every order in which two processors may do and see things.
//!
//! The ring has two bytes. A writer and a reader each do what an end does: move as much as can be
//! moved, and when nothing can, ask, look once more, and wait for an event. A lost event is a thread
//! that waits for ever, which the model checker finds; so it does when a byte is read before it was
//! written, or written before the one that was there has been read.

extern crate std;

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc, Notify,
        atomic::{AtomicU8, AtomicU32, fence},
    },
    thread,
};

use crate::vchan::direction::{Direction, READ, WRITTEN, atomics};

const SIZE: u32 = 2;
const BYTES: u32 = 4;

// The same code as elsewhere, with atomic types that the model checker watches.
atomics!(AtomicU32, AtomicU8, fence);

/// What both have: the server writes here, and the client reads.
struct Shared {
    producer: AtomicU32,
    consumer: AtomicU32,
    client_notify: AtomicU8,
    server_notify: AtomicU8,
    bytes: [UnsafeCell<u8>; SIZE as usize],
    to_server: Notify,
    to_client: Notify,
}

impl Shared {
    fn new() -> Self {
        Self {
            producer: AtomicU32::new(0),
            consumer: AtomicU32::new(0),
            // As a server and a client begin.
            client_notify: AtomicU8::new(WRITTEN),
            server_notify: AtomicU8::new(WRITTEN),
            bytes: [UnsafeCell::new(0), UnsafeCell::new(0)],
            to_server: Notify::new(),
            to_client: Notify::new(),
        }
    }

    fn place(&self, index: u32) -> &UnsafeCell<u8> {
        &self.bytes[(index % SIZE) as usize]
    }

    fn write_all(&self) {
        let direction = Direction {
            own: &self.producer,
            other: &self.consumer,
            asks: (&self.client_notify, READ),
            asked: (&self.server_notify, WRITTEN),
            size: SIZE,
        };
        let mut next = 0;
        while next < BYTES {
            let mut has_asked = false;
            let room = loop {
                match direction.writable(next).unwrap() {
                    0 if has_asked => self.to_server.wait(),
                    0 => direction.ask(),
                    room => break room,
                }
                has_asked = !has_asked;
            };
            for _ in 0..room.min(BYTES - next) {
                // SAFETY: there is room, so nobody reads it; the model checker says if not.
                self.place(next).with_mut(|byte| unsafe { *byte = next as u8 });
                next += 1;
            }
            if direction.advance(next) {
                self.to_client.notify();
            }
        }
    }

    fn read_all(&self) {
        let direction = Direction {
            own: &self.consumer,
            other: &self.producer,
            asks: (&self.server_notify, WRITTEN),
            asked: (&self.client_notify, READ),
            size: SIZE,
        };
        let mut next = 0;
        while next < BYTES {
            let mut has_asked = false;
            let count = loop {
                match direction.readable(next).unwrap() {
                    0 if has_asked => self.to_client.wait(),
                    0 => direction.ask(),
                    count => break count,
                }
                has_asked = !has_asked;
            };
            for _ in 0..count {
                // SAFETY: it was written, so nobody writes it; the model checker says if not.
                let byte = self.place(next).with(|byte| unsafe { *byte });
                assert_eq!(u32::from(byte), next);
                next += 1;
            }
            if direction.advance(next) {
                self.to_server.notify();
            }
        }
    }
}

#[test]
fn no_event_is_lost_in_any_order() {
    let mut model = loom::model::Builder::new();
    // Of all orders, those in which each side is interrupted so many times.
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = Arc::new(Shared::new());
        let server = Arc::clone(&shared);
        let writer = thread::spawn(move || server.write_all());
        shared.read_all();
        writer.join().unwrap();
    });
}
