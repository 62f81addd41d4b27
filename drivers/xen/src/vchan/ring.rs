//! Pages that both sides have, and a ring of bytes on them.

use alloc::vec::Vec;
use core::{
    cell::Cell,
    iter,
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use mayfly_arch::PAGE_SIZE;

use super::layout::{Location, location};
use crate::{
    grants::{Grant, Mapping},
    shared_page::HeapPage,
};

/// A page that both sides have.
pub(super) enum Page {
    /// This guest's own, which the other domain was granted.
    Granted(Grant<HeapPage>),
    /// One that the other domain has granted.
    Foreign(Mapping),
}

impl Page {
    pub(super) fn words(&self) -> &[AtomicU32; PAGE_SIZE / 4] {
        match self {
            Self::Granted(grant) => grant.page().words(),
            Self::Foreign(mapping) => mapping.words(),
        }
    }

    pub(super) fn bytes(&self) -> &[AtomicU8; PAGE_SIZE] {
        match self {
            Self::Granted(grant) => grant.page().bytes(),
            Self::Foreign(mapping) => mapping.bytes(),
        }
    }

    /// The word at `offset` bytes, which is a constant of the protocol.
    pub(super) fn word(&self, offset: usize) -> &AtomicU32 {
        &self.words()[offset / 4]
    }

    /// The byte at `offset`, which is a constant of the protocol.
    pub(super) fn byte(&self, offset: usize) -> &AtomicU8 {
        &self.bytes()[offset]
    }

    /// The bytes, the whole words and the bytes again that `range` consists of. Most of it is
    /// words, which cost a quarter.
    fn parts(&self, start: usize, length: usize) -> (&[AtomicU8], &[AtomicU32], &[AtomicU8]) {
        let end = start.saturating_add(length).min(PAGE_SIZE);
        let first = start.next_multiple_of(4).min(end);
        let last = (end & !3).max(first);
        let bytes = |from, to| self.bytes().get(from..to).unwrap_or_default();
        let words = self.words().get(first / 4..last / 4).unwrap_or_default();
        (bytes(start, first), words, bytes(last, end))
    }

    /// Reads the bytes from `start` on, which are there.
    fn read(&self, start: usize, to: &mut [u8]) {
        let (head, words, tail) = self.parts(start, to.len());
        let (to_head, rest) = to.split_at_mut(head.len());
        let (to_words, to_tail) = rest.split_at_mut(words.len() * 4);
        for (to, word) in iter::zip(to_words.chunks_exact_mut(4), words) {
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        let ends = iter::zip(to_head, head).chain(iter::zip(to_tail, tail));
        ends.for_each(|(to, byte)| *to = byte.load(Ordering::Relaxed));
    }

    /// Writes the bytes from `start` on, which are there.
    fn write(&self, start: usize, from: &[u8]) {
        let (head, words, tail) = self.parts(start, from.len());
        let (from_head, rest) = from.split_at(head.len());
        let (from_words, from_tail) = rest.split_at(words.len() * 4);
        for (from, word) in iter::zip(from_words.chunks_exact(4), words) {
            if let Ok(value) = from.try_into() {
                word.store(u32::from_ne_bytes(value), Ordering::Relaxed);
            }
        }
        let ends = iter::zip(from_head, head).chain(iter::zip(from_tail, tail));
        ends.for_each(|(from, byte)| byte.store(*from, Ordering::Relaxed));
    }
}

/// The bytes of one direction.
pub(super) struct Ring {
    /// None if it is within the first page of the channel.
    pages: Vec<Page>,
    /// Where it begins, in the first page.
    start: usize,
    /// Bytes that it holds, a power of two.
    pub(super) size: u32,
    /// How many bytes this side has read or written: its own copy of its index.
    pub(super) next: Cell<u32>,
}

impl Ring {
    /// A ring of this order, on as many pages as that takes, whose index begins at `next`.
    pub(super) fn new(order: u8, pages: Vec<Page>, next: u32) -> Self {
        let start = match location(order) {
            Location::Inside(start) => start,
            Location::Pages(_) => 0,
        };
        Self { pages, start, size: 1 << order, next: Cell::new(next) }
    }

    /// The page that the byte of this index is on, its offset there, and how many of `count` bytes
    /// are there one after another. `first` is the first page of the channel.
    fn find<'a>(&'a self, first: &'a Page, index: u32, count: usize) -> (&'a Page, usize, usize) {
        let at = (index & (self.size - 1)) as usize;
        let (page, offset) = match self.pages.get(at / PAGE_SIZE) {
            Some(page) => (page, at % PAGE_SIZE),
            None => (first, self.start + at),
        };
        let rest = (self.size as usize - at).min(PAGE_SIZE.saturating_sub(offset));
        (page, offset, count.min(rest))
    }

    /// Reads what comes next, which is there, and moves this side's copy of the index.
    pub(super) fn read(&self, first: &Page, mut to: &mut [u8]) {
        while !to.is_empty() {
            let (page, offset, count) = self.find(first, self.next.get(), to.len());
            let (now, later) = to.split_at_mut(count);
            page.read(offset, now);
            self.next.set(self.next.get().wrapping_add(count as u32));
            to = later;
        }
    }

    /// Writes what comes next, for which there is room, and moves this side's copy of the index.
    pub(super) fn write(&self, first: &Page, mut from: &[u8]) {
        while !from.is_empty() {
            let (page, offset, count) = self.find(first, self.next.get(), from.len());
            let (now, later) = from.split_at(count);
            page.write(offset, now);
            self.next.set(self.next.get().wrapping_add(count as u32));
            from = later;
        }
    }
}
