//! Polled output, and another end that takes it or does not.

extern crate std;

use std::{boxed::Box, string::String, vec::Vec};

use core::sync::atomic::Ordering;

use super::*;

fn stuck() -> Output {
    Output { is_stuck: true, ..Output::new(SharedPage::new(), Port::new(2).unwrap()) }
}

/// Takes all that there is, as xenconsoled does.
fn take(output: &Output) -> String {
    let (page, mut text) = (output.page, Vec::new());
    let (consumer, producer) = (page.word(0xc08), page.word(0xc0c));
    let (start, end) = (consumer.load(Ordering::SeqCst), producer.load(Ordering::SeqCst));
    for at in 0..end.wrapping_sub(start) {
        let place = (start.wrapping_add(at) % 2048) as usize;
        text.push(page.bytes()[0x400 + place].load(Ordering::SeqCst));
    }
    consumer.store(end, Ordering::SeqCst);
    String::from_utf8(text).unwrap()
}

#[test]
fn what_is_dropped_is_told_when_there_is_room() {
    let mut output = stuck();
    output.write_all(&[b'x'; 2040]);
    output.write_all(b"twenty bytes of text");
    output.write_all(b"ten more..");
    assert_eq!(take(&output), "x".repeat(2040) + "twenty b");
    output.write_all(b"on\n");
    assert_eq!(take(&output), "\r\n[22 bytes of output dropped]\r\non\r\n");
    output.write_all(b"and on");
    assert_eq!(take(&output), "and on", "it is told once");
}

#[test]
fn a_ring_that_was_damaged_is_used_again_in_another_domain() {
    let page = SharedPage::new();
    let port = Port::new(2).unwrap();
    let output: &IrqLock<Output> = Box::leak(Box::new(IrqLock::new(Output::new(page, port))));
    let (input, incarnation) = (input(page), Incarnation::current());
    let mut driver = Driver { page, input, incarnation, output, is_broken: false };
    let producer = page.word(0xc04);
    producer.store(5000, Ordering::SeqCst);
    assert_eq!((driver.read(&mut [0; 8]), driver.is_broken), (0, true));
    producer.store(2, Ordering::SeqCst);
    assert_eq!(driver.read(&mut [0; 8]), 0);
    producer.store(0, Ordering::SeqCst);
    Incarnation::begin();
    assert_eq!(driver.write(b"x"), 1);
    assert_eq!(output.with(|output| take(output)), "x");
    producer.store(2, Ordering::SeqCst);
    assert_eq!(driver.read(&mut [0; 8]), 2);
}
