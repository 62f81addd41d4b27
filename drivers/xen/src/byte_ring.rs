//! A stream of bytes through a shared page: what the console and XenStore have, one in each
//! direction.
//!
//! A buffer whose size is a power of two, and two indices that count bytes and wrap at 2^32. Who
//! produces writes bytes and then moves the producer's index, who consumes reads them and then moves
//! the consumer's. Each side writes its own index only, but both are in shared memory: so this side
//! keeps a copy of its own, and believes the other one only as far as it makes sense.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::shared_word::{SharedByte, SharedWord};

#[cfg(all(test, not(miri)))]
mod model;

/// The indices say that there are more bytes in the ring than it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadIndex;

/// The end of a ring that this side writes to.
pub(crate) struct Producer<'a, W = AtomicU32, B = AtomicU8> {
    bytes: &'a [B],
    consumer: &'a W,
    producer: &'a W,
    next: u32,
}

/// The end of a ring that this side reads from.
pub(crate) struct Consumer<'a, W = AtomicU32, B = AtomicU8> {
    bytes: &'a [B],
    consumer: &'a W,
    producer: &'a W,
    next: u32,
}

impl<'a, W: SharedWord, B: SharedByte> Producer<'a, W, B> {
    /// Goes on where the index in the ring is.
    pub(crate) fn new(bytes: &'a [B], consumer: &'a W, producer: &'a W) -> Self {
        Self::at(bytes, consumer, producer, producer.load(Ordering::Relaxed))
    }

    /// Goes on where this side knows that it has come to.
    pub(crate) fn at(bytes: &'a [B], consumer: &'a W, producer: &'a W, next: u32) -> Self {
        debug_assert!(bytes.len().is_power_of_two());
        Self { bytes, consumer, producer, next }
    }

    /// Where it has come to.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Bytes for which there is room.
    pub(crate) fn room(&self) -> Result<usize, BadIndex> {
        let used = self.next.wrapping_sub(self.consumer.load(Ordering::Acquire)) as usize;
        self.bytes.len().checked_sub(used).ok_or(BadIndex)
    }

    /// Writes as many of `bytes` as there is room for. Returns how many that were; if there were
    /// any, the other side is to be notified.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, BadIndex> {
        let count = self.room()?.min(bytes.len());
        let mask = self.bytes.len() - 1;
        for (at, byte) in bytes.iter().take(count).enumerate() {
            let place = self.next.wrapping_add(at as u32) as usize & mask;
            if let Some(slot) = self.bytes.get(place) {
                slot.set(*byte);
            }
        }
        self.next = self.next.wrapping_add(count as u32);
        self.producer.store(self.next, Ordering::Release);
        Ok(count)
    }
}

impl<'a, W: SharedWord, B: SharedByte> Consumer<'a, W, B> {
    /// Goes on where the index in the ring is.
    pub(crate) fn new(bytes: &'a [B], consumer: &'a W, producer: &'a W) -> Self {
        Self::at(bytes, consumer, producer, consumer.load(Ordering::Relaxed))
    }

    /// Goes on where this side knows that it has come to.
    pub(crate) fn at(bytes: &'a [B], consumer: &'a W, producer: &'a W, next: u32) -> Self {
        debug_assert!(bytes.len().is_power_of_two());
        Self { bytes, consumer, producer, next }
    }

    /// Where it has come to.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Bytes that can be read.
    pub(crate) fn available(&self) -> Result<usize, BadIndex> {
        let available = self.producer.load(Ordering::Acquire).wrapping_sub(self.next) as usize;
        if available <= self.bytes.len() { Ok(available) } else { Err(BadIndex) }
    }

    /// Passes over all bytes that there are.
    pub(crate) fn skip(&mut self) -> Result<(), BadIndex> {
        self.next = self.next.wrapping_add(self.available()? as u32);
        self.consumer.store(self.next, Ordering::Release);
        Ok(())
    }

    /// Reads as many bytes as there are and fit. Returns how many that were; if there were any, the
    /// other side is to be notified, because it may wait for room.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> Result<usize, BadIndex> {
        let count = self.available()?.min(bytes.len());
        let mask = self.bytes.len() - 1;
        for (at, byte) in bytes.iter_mut().take(count).enumerate() {
            let place = self.next.wrapping_add(at as u32) as usize & mask;
            *byte = self.bytes.get(place).map_or(0, SharedByte::get);
        }
        self.next = self.next.wrapping_add(count as u32);
        self.consumer.store(self.next, Ordering::Release);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::shared_page::SharedPage;

    /// Both ends of a ring of 64 bytes whose indices begin at `start`.
    fn ring(start: u32) -> (SharedPage, Producer<'static>, Consumer<'static>) {
        let page = SharedPage::new();
        let (consumer, producer) = (page.word(1024), page.word(1028));
        consumer.store(start, Ordering::Relaxed);
        producer.store(start, Ordering::Relaxed);
        let bytes = &page.bytes()[..64];
        (page, Producer::new(bytes, consumer, producer), Consumer::new(bytes, consumer, producer))
    }

    #[test]
    fn what_goes_in_comes_out() {
        let (_, mut producer, mut consumer) = ring(u32::MAX - 30);
        assert_eq!(producer.write(&[7; 100]), Ok(64));
        assert_eq!(producer.write(b"x"), Ok(0));
        let mut bytes = [0; 100];
        assert_eq!(consumer.read(&mut bytes[..10]), Ok(10));
        assert_eq!(producer.write(b"hello"), Ok(5));
        assert_eq!(consumer.read(&mut bytes), Ok(59));
        assert_eq!(&bytes[..54], &[7; 54]);
        assert_eq!(&bytes[54..59], b"hello");
        assert_eq!(consumer.read(&mut bytes), Ok(0));
    }

    #[test]
    fn indices_that_make_no_sense_are_refused() {
        let (page, mut producer, mut consumer) = ring(5);
        page.word(1024).store(6, Ordering::Relaxed);
        assert_eq!(producer.write(b"x"), Err(BadIndex));
        page.word(1028).store(5 + 65, Ordering::Relaxed);
        assert_eq!(consumer.read(&mut [0; 10]), Err(BadIndex));
        page.word(1028).store(4, Ordering::Relaxed);
        assert_eq!(consumer.available(), Err(BadIndex));
    }

    proptest! {
        #[test]
        fn a_stream_stays_in_order(start: u32, steps in prop::collection::vec((0..100usize, 0..100usize), 0..100)) {
            let (_, mut producer, mut consumer) = ring(start);
            let (mut sent, mut got, mut next) = (Vec::new(), Vec::new(), 0u8);
            for (write, read) in steps {
                let data: Vec<u8> = (0..write).map(|at| next.wrapping_add(at as u8)).collect();
                let count = producer.write(&data).unwrap();
                sent.extend_from_slice(&data[..count]);
                next = next.wrapping_add(count as u8);
                let mut bytes = [0; 100];
                let count = consumer.read(&mut bytes[..read]).unwrap();
                got.extend_from_slice(&bytes[..count]);
            }
            prop_assert_eq!(&sent[..got.len()], &got[..]);
            prop_assert!(sent.len() - got.len() <= 64);
        }

        #[test]
        fn no_index_of_the_other_side_does_harm(start: u32, other: u32) {
            let (page, mut producer, mut consumer) = ring(start);
            page.word(1024).store(other, Ordering::Relaxed);
            let count = producer.write(&[1; 100]);
            prop_assert!(count.is_err() || count.unwrap() <= 64);
            page.word(1028).store(other, Ordering::Relaxed);
            let count = consumer.read(&mut [0; 100]);
            prop_assert!(count.is_err() || count.unwrap() <= 64);
        }
    }
}
