//! A page that another domain, or Xen itself, reads and writes at any time.

use core::sync::atomic::{AtomicU8, AtomicU32};

use mayfly_arch::{PAGE_SIZE, PhysAddr, PhysRange, mmu};

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
    #[cfg(test)]
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
