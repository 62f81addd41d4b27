//! A page that another domain, or Xen itself, reads and writes at any time.

use alloc::{
    alloc::{Layout, alloc_zeroed, dealloc},
    rc::Rc,
};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering},
};

use mayfly_arch::{PAGE_SIZE, PhysAddr, PhysRange, mmu};

use crate::grants::Grantable;

/// The frame's words. Xen's structures are little-endian, as all processors are that Mayfly runs on.
type Words = [AtomicU32; PAGE_SIZE / 4];

/// A shared page: its words, or its bytes, which are the same memory.
#[derive(Clone, Copy)]
pub(crate) struct SharedPage {
    words: &'static Words,
}

impl SharedPage {
    /// Maps the guest frame of this number, which is not RAM of this guest, for good. `None` if that
    /// cannot be done, because of where it is or because start-up is over.
    ///
    /// # Safety
    /// There is a page at the frame, and it stays there.
    pub(crate) unsafe fn map(frame: u64) -> Option<Self> {
        let start = PhysAddr(frame.checked_mul(PAGE_SIZE as u64)?);
        let page = mmu::map_shared(PhysRange::new(start, PAGE_SIZE as u64)?).ok()?;
        // SAFETY: a page that is mapped for good for reading and writing, as the caller says that
        // there is one, and nobody accesses it but by atomic operations.
        Some(Self { words: unsafe { page.cast().as_ref() } })
    }

    /// A page for tests.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn new() -> Self {
        let words = alloc::boxed::Box::new([const { AtomicU32::new(0) }; PAGE_SIZE / 4]);
        Self { words: alloc::boxed::Box::leak(words) }
    }

    /// All words.
    pub(crate) fn words(self) -> &'static Words {
        self.words
    }

    /// The word at `offset` bytes.
    ///
    /// # Panics
    /// Beyond the page. Offsets are constants of a protocol, or checked.
    pub(crate) fn word(self, offset: usize) -> &'static AtomicU32 {
        &self.words[offset / 4]
    }

    /// All bytes.
    pub(crate) fn bytes(self) -> &'static [AtomicU8; PAGE_SIZE] {
        // SAFETY: the same memory, all of it; bytes need no alignment; both are atomic, and a mix of
        // sizes is what the structures are made for: indices are words, contents are bytes, and
        // nobody accesses one as the other.
        unsafe { &*(&raw const *self.words).cast() }
    }
}

/// Guest frames without memory, which the page tables show already: Xen may put its own there later,
/// when the page tables can no longer change.
pub(crate) struct Window {
    pages: NonNull<Words>,
    first_frame: u64,
    count: usize,
    /// One bit for each that is free.
    free: [u64; Self::MAX / u64::BITS as usize],
}

impl Window {
    /// Frames that a window can have: as many as are in one page table, with what else is there.
    pub(crate) const MAX: usize = 320;

    /// A window of `count` frames, at most [`MAX`](Self::MAX), mapped for good. `None` if that cannot
    /// be done.
    ///
    /// # Safety
    /// These frames have no memory, and nobody else makes use of them.
    pub(crate) unsafe fn map(first_frame: u64, count: usize) -> Option<Self> {
        let start = PhysAddr(first_frame.checked_mul(PAGE_SIZE as u64)?);
        let range = PhysRange::new(start, count.min(Self::MAX) as u64 * PAGE_SIZE as u64)?;
        Some(Self::new(mmu::map_shared(range).ok()?.cast(), first_frame, count))
    }

    fn new(pages: NonNull<Words>, first_frame: u64, count: usize) -> Self {
        let free = core::array::from_fn(|word| {
            let rest = count.saturating_sub(word * u64::BITS as usize);
            1_u64.checked_shl(rest as u32).map_or(u64::MAX, |above| above - 1)
        });
        Self { pages, first_frame, count: count.min(Self::MAX), free }
    }

    /// How many frames are free.
    pub(crate) fn free(&self) -> usize {
        self.free.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Takes a free frame, the lowest.
    pub(crate) fn take(&mut self) -> Option<Place> {
        let (number, word) = self.free.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let index = number * u64::BITS as usize + word.trailing_zeros() as usize;
        *word &= *word - 1;
        // SAFETY: `index` is that of a frame, and so within what is mapped.
        let page = unsafe { self.pages.add(index) };
        Some(Place { page, frame: self.first_frame + index as u64 })
    }

    /// Takes back a frame that has come from here.
    pub(crate) fn put_back(&mut self, place: Place) {
        let index = place.frame.wrapping_sub(self.first_frame) as usize;
        let word = self.free.get_mut(index / u64::BITS as usize);
        debug_assert!(word.is_some(), "from another window");
        if let Some(word) = word {
            *word |= 1 << (index % u64::BITS as usize);
        }
    }

    /// The frames that were taken and not put back.
    pub(crate) fn taken(&self) -> impl Iterator<Item = TakenFrame> {
        let is_taken = |index: &usize| {
            let word = self.free.get(index / u64::BITS as usize);
            word.is_some_and(|word| word & 1 << (index % u64::BITS as usize) == 0)
        };
        (0..self.count).filter(is_taken).map(|index| TakenFrame(self.first_frame + index as u64))
    }

    /// Writes zeros to a frame that was taken, for who looks at it from now on.
    pub(crate) fn clear(&self, frame: TakenFrame) {
        let index = frame.0.wrapping_sub(self.first_frame) as usize;
        if index < self.count {
            // SAFETY: within what is mapped, for good; all accesses are atomic. Where there is no
            // memory, writes have no effect.
            let words = unsafe { self.pages.add(index).as_ref() };
            words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }

    /// A window for tests, where memory is already. It is never freed.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) fn with_memory(count: usize) -> Self {
        let pages = (0..count).map(|_| [const { AtomicU32::new(0) }; PAGE_SIZE / 4]);
        let pages = alloc::vec::Vec::leak(pages.collect::<alloc::vec::Vec<Words>>());
        Self::new(NonNull::from(pages).cast(), 0x1000, count)
    }
}

/// A frame of a [`Window`], without memory, and for one user.
#[derive(Debug)]
pub(crate) struct Place {
    page: NonNull<Words>,
    frame: u64,
}

impl Place {
    /// Its number.
    pub(crate) fn frame(&self) -> u64 {
        self.frame
    }

    /// The place, now that there is memory.
    ///
    /// # Safety
    /// There is, and it stays until [`FilledPlace::empty`].
    pub(crate) unsafe fn fill(self) -> FilledPlace {
        FilledPlace(self)
    }

    /// As [`fill`](Self::fill), with memory that is elsewhere in tests.
    ///
    /// # Safety
    /// A page is there, as long as it is filled, which is only accessed by atomic operations.
    #[cfg(any(test, feature = "fake"))]
    pub(crate) unsafe fn fill_with(self, page: *mut u8) -> FilledPlace {
        FilledPlace(Self { page: NonNull::new(page).expect("a page").cast(), ..self })
    }
}

/// A [`Place`] where Xen has put a page.
#[derive(Debug)]
pub(crate) struct FilledPlace(Place);

impl FilledPlace {
    /// What is there.
    pub(crate) fn words(&self) -> &Words {
        // SAFETY: there is memory as long as the place is filled, mapped for reading and writing, and
        // nobody accesses it but by atomic operations.
        unsafe { self.0.page.as_ref() }
    }

    /// What is there, byte by byte.
    pub(crate) fn bytes(&self) -> &[AtomicU8; PAGE_SIZE] {
        // SAFETY: as in `SharedPage::bytes`.
        unsafe { self.0.page.cast().as_ref() }
    }

    /// What is there, for good.
    pub(crate) fn leak(self) -> SharedPage {
        // SAFETY: as in `words`; the place is never emptied.
        SharedPage { words: unsafe { self.0.page.as_ref() } }
    }

    /// Its frame's number.
    pub(crate) fn frame(&self) -> u64 {
        self.0.frame
    }

    /// The same, as that of a frame that is taken.
    pub(crate) fn taken(&self) -> TakenFrame {
        TakenFrame(self.0.frame)
    }

    /// The place, when the memory has been taken away.
    pub(crate) fn empty(self) -> Place {
        self.0
    }
}

/// The frame of a [`Place`] that was taken from its window. Who uses it expects that what is there
/// changes at any time, so Xen may put another page there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenFrame(u64);

impl TakenFrame {
    /// Its number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// A page of the guest's own memory that other domains may be granted.
#[derive(Debug)]
pub struct HeapPage(NonNull<Words>);

impl HeapPage {
    const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("a page is a power of two"),
    };

    /// A page of zeros. `None` if there is no memory.
    pub fn zeroed() -> Option<Self> {
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) }.cast()).map(Self)
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU32; PAGE_SIZE / 4] {
        // SAFETY: allocated in `zeroed`, aligned, and nobody accesses it but by atomic operations.
        unsafe { self.0.as_ref() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[AtomicU8; PAGE_SIZE] {
        // SAFETY: as in `words` and `SharedPage::bytes`.
        unsafe { self.0.cast().as_ref() }
    }
}

/// Bytes of a processor word, and those of a block that is copied at a time.
const WORD: usize = size_of::<usize>();
const BLOCK: usize = 8 * WORD;

impl HeapPage {
    /// The page in blocks of words, by which it is copied fastest.
    fn blocks(&self) -> &[[AtomicUsize; BLOCK / WORD]; PAGE_SIZE / BLOCK] {
        // SAFETY: the same memory, all of it, which is aligned for anything; all accesses are
        // atomic, of words and of their parts, as in `SharedPage::bytes`.
        unsafe { self.0.cast().as_ref() }
    }

    /// Copies data to the start of the page. Its length is a multiple of 64 bytes.
    pub(crate) fn write(&self, data: &[u8]) {
        let store = |to: &AtomicUsize, from: &[u8; WORD]| {
            to.store(usize::from_ne_bytes(*from), Ordering::Relaxed);
        };
        for (block, bytes) in self.blocks().iter().zip(data.as_chunks::<BLOCK>().0) {
            let [a, b, c, d, e, f, g, h] = block;
            // One by one, since a loop would cost as much as what it does.
            if let [i, j, k, l, m, n, o, p] = bytes.as_chunks().0 {
                store(a, i);
                store(b, j);
                store(c, k);
                store(d, l);
                store(e, m);
                store(f, n);
                store(g, o);
                store(h, p);
            }
        }
    }

    /// Copies the start of the page. The length is a multiple of 64 bytes.
    pub(crate) fn read(&self, data: &mut [u8]) {
        let load = |from: &AtomicUsize| from.load(Ordering::Relaxed).to_ne_bytes();
        for (block, bytes) in self.blocks().iter().zip(data.as_chunks_mut::<BLOCK>().0) {
            let [a, b, c, d, e, f, g, h] = block;
            if let [i, j, k, l, m, n, o, p] = bytes.as_chunks_mut().0 {
                (*i, *j, *k, *l) = (load(a), load(b), load(c), load(d));
                (*m, *n, *o, *p) = (load(e), load(f), load(g), load(h));
            }
        }
    }
}

impl Drop for HeapPage {
    fn drop(&mut self) {
        // SAFETY: from `zeroed`, and nobody has a reference.
        unsafe { dealloc(self.0.as_ptr().cast(), Self::LAYOUT) }
    }
}

// SAFETY: the page is this value's alone, and only accessed by atomic operations.
unsafe impl Grantable for HeapPage {
    fn frame(&self) -> Option<u64> {
        Some(mmu::virt_to_phys(self.0.as_ptr().cast())?.0 / PAGE_SIZE as u64)
    }
}

// SAFETY: the value that is shared stays where it is as long as one of those who share it.
unsafe impl<T: Grantable> Grantable for Rc<T> {
    fn frame(&self) -> Option<u64> {
        T::frame(self)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::BTreeSet, vec::Vec};

    use super::*;

    #[test]
    fn every_frame_of_a_window_is_taken_once() {
        for count in [0, 1, 63, 64, 65, 128, 319, Window::MAX] {
            let mut window = Window::with_memory(count);
            assert_eq!(window.free(), count);
            let places: Vec<_> = core::iter::from_fn(|| window.take()).collect();
            let frames: BTreeSet<_> = places.iter().map(Place::frame).collect();
            let pages: BTreeSet<_> = places.iter().map(|place| place.page).collect();
            assert_eq!((frames.len(), pages.len(), window.free()), (count, count, 0));
            assert_eq!(window.taken().map(TakenFrame::number).collect::<BTreeSet<_>>(), frames);
            places.into_iter().for_each(|place| window.put_back(place));
            assert_eq!((window.free(), window.taken().count()), (count, 0));
        }
    }
}
