//! The stream, in every order in which two processors may do and see things.
//!
//! The ring has two bytes, and its indices wrap on the way. A writer moves what can be moved, and a
//! reader one byte after the other. Each sends the other an event when it has moved something, and
//! waits for one when it could not. A lost event is a thread that waits for ever, which the model
//! checker finds; so it does when a byte is read before it was written, or written before the one that
//! was there has been read.

extern crate std;

use std::vec::Vec;

use loom::{
    cell::UnsafeCell,
    sync::{Arc, Notify, atomic::AtomicU32},
    thread,
};

use super::{Consumer, Producer};
use crate::shared_word::SharedByte;

const START: u32 = u32::MAX - 1;
const SENT: [u8; 3] = [10, 11, 12];

/// A byte that the model checker watches: it belongs to one thread at a time, or the test fails.
struct Byte(UnsafeCell<u8>);

impl SharedByte for Byte {
    fn get(&self) -> u8 {
        // SAFETY: the indices say that nobody writes it; the model checker says if not.
        self.0.with(|byte| unsafe { *byte })
    }

    fn set(&self, value: u8) {
        // SAFETY: the indices say that nobody else has it; the model checker says if not.
        self.0.with_mut(|byte| unsafe { *byte = value });
    }
}

/// What both have.
struct Shared {
    bytes: [Byte; 2],
    consumer: AtomicU32,
    producer: AtomicU32,
    to_producer: Notify,
    to_consumer: Notify,
}

impl Shared {
    fn new() -> Self {
        Self {
            bytes: [0; 2].map(|byte| Byte(UnsafeCell::new(byte))),
            consumer: AtomicU32::new(START),
            producer: AtomicU32::new(START),
            to_producer: Notify::new(),
            to_consumer: Notify::new(),
        }
    }

    fn write_all(&self) {
        let mut ring = Producer::new(&self.bytes, &self.consumer, &self.producer);
        let mut rest = &SENT[..];
        while !rest.is_empty() {
            match ring.write(rest) {
                Ok(0) => self.to_producer.wait(),
                Ok(count) => {
                    rest = &rest[count..];
                    self.to_consumer.notify();
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn read_all(&self) {
        let mut ring = Consumer::new(&self.bytes, &self.consumer, &self.producer);
        let mut got = Vec::new();
        while got.len() < SENT.len() {
            let mut bytes = [0; 1];
            match ring.read(&mut bytes) {
                Ok(0) => self.to_consumer.wait(),
                Ok(count) => {
                    got.extend_from_slice(&bytes[..count]);
                    self.to_producer.notify();
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(got, SENT);
        assert_eq!(ring.available(), Ok(0));
    }
}

#[test]
fn no_byte_and_no_event_is_lost_in_any_order() {
    let mut model = loom::model::Builder::new();
    // Of all orders, those in which each side is interrupted so many times.
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = Arc::new(Shared::new());
        let other = Arc::clone(&shared);
        let writer = thread::spawn(move || other.write_all());
        shared.read_all();
        writer.join().unwrap();
    });
}
