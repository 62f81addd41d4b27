//! Blocks of up to 2 KiB, cut from spans of one to four pages.
//!
//! Every span holds blocks of one size. It lies at a multiple of its size, so the span of a block
//! is found by masking the block's address. Taking a block and giving it back are a dozen
//! instructions each.

use core::ptr::NonNull;

use super::classes::{Class, TABLE};
use crate::memory::source::FrameSource;

/// Room for a `Span` in front of the blocks, which keeps those aligned to 64 bytes.
const HEADER: usize = 64;

/// Empty spans that are kept.
const KEPT: usize = 8;

/// What a span begins with.
pub(super) struct Span {
    /// Blocks that were in use and are free again.
    free: Option<NonNull<FreeBlock>>,
    /// Neighbours in the list of spans that have room.
    next: Option<NonNull<Span>>,
    previous: Option<NonNull<Span>>,
    /// Blocks in use.
    used: u16,
    /// Blocks at the end of the span that were never in use.
    untouched: u16,
    /// Whether the span is in the list.
    is_listed: bool,
    /// Whether the span is among those that are kept when they are empty.
    is_kept: bool,
}

const _: () = assert!(size_of::<Span>() <= HEADER);

/// What a free block begins with.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

/// For each class, the spans that have room.
pub(super) struct SmallBlocks {
    spans: [Option<NonNull<Span>>; TABLE],
    /// Number of spans of each class that have no room and so are not in the list.
    full: [usize; TABLE],
    /// Spans that became empty when their class had no other with room. They are kept, for a class
    /// of which one block at a time is used, until so many others have followed.
    kept: [Option<(Class, NonNull<Span>)>; KEPT],
    /// Which of them came first.
    oldest: usize,
}

impl SmallBlocks {
    pub(super) const fn new() -> Self {
        Self { spans: [None; TABLE], full: [0; TABLE], kept: [None; KEPT], oldest: 0 }
    }

    /// Bytes in the blocks that are in use.
    pub(super) fn in_use(&self) -> usize {
        Class::all().map(|class| self.used_blocks(class) * class.block()).sum()
    }

    fn used_blocks(&self, class: Class) -> usize {
        let mut used = self.full[class.index()] * class.blocks(HEADER);
        let mut next = self.spans[class.index()];
        while let Some(span) = next {
            // SAFETY: a span in the list belongs to it and begins with a `Span`.
            let span = unsafe { span.as_ref() };
            used += usize::from(span.used);
            next = span.next;
        }
        used
    }

    /// Takes a block that was in use before, if the first span has one.
    #[inline]
    pub(super) fn take(&mut self, class: Class) -> Option<NonNull<u8>> {
        // SAFETY: a span in the list belongs to it and begins with a `Span`, and a block on its
        // free list belongs to the span and begins with a `FreeBlock`.
        unsafe {
            let span = self.spans[class.index()]?.as_mut();
            let block = span.free?;
            span.free = block.as_ref().next;
            // There are no more than 252 blocks in a span.
            span.used = span.used.wrapping_add(1);
            Some(block.cast())
        }
    }

    /// Takes a block. The memory comes from `frames` when the class has no more room.
    pub(super) fn allocate(
        &mut self,
        class: Class,
        frames: &mut impl FrameSource,
    ) -> Option<NonNull<u8>> {
        loop {
            let Some(mut first) = self.spans[class.index()] else {
                self.add_span(class, frames)?;
                continue;
            };
            // SAFETY: a span in the list belongs to it and begins with a `Span`.
            let span = unsafe { first.as_mut() };
            if let Some(block) = span.free {
                // SAFETY: a free block of the span begins with a `FreeBlock`.
                span.free = unsafe { block.as_ref() }.next;
                span.used += 1;
                return Some(block.cast());
            }
            if span.untouched > 0 {
                let index = class.blocks(HEADER) - usize::from(span.untouched);
                span.untouched -= 1;
                span.used += 1;
                // SAFETY: there are `blocks` blocks behind the header, all within the span.
                return Some(unsafe { first.cast::<u8>().add(HEADER + index * class.block()) });
            }
            // SAFETY: the span is the first of this list.
            unsafe { self.unlink(class, first) };
            self.full[class.index()] += 1;
        }
    }

    /// Gives a block back. Returns its span if that is to be tidied up, because it was full or has
    /// become empty.
    ///
    /// # Safety
    /// The block was allocated with this class and is not used any more.
    #[inline]
    pub(super) unsafe fn put(&mut self, block: NonNull<u8>, class: Class) -> Option<NonNull<Span>> {
        let offset = block.addr().get() & (class.span() - 1);
        // SAFETY: a span lies at a multiple of its size and begins with a `Span`; the block was
        // allocated from this one. It is at least 16 bytes long and aligned for a `FreeBlock`.
        unsafe {
            let start = block.sub(offset).cast::<Span>();
            let span = &mut *start.as_ptr();
            let free = block.cast::<FreeBlock>();
            free.write(FreeBlock { next: span.free });
            span.free = Some(free);
            // The block was in use, so there was at least one.
            span.used = span.used.wrapping_sub(1);
            (!span.is_listed || (span.used == 0 && !span.is_kept)).then_some(start)
        }
    }

    /// Lists a span that has room again. If it is empty, keeps it or gives it back.
    ///
    /// # Safety
    /// The span belongs to this class.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn tidy(
        &mut self,
        class: Class,
        span: NonNull<Span>,
        frames: &mut impl FrameSource,
    ) {
        // SAFETY: the span belongs to this class, so it begins with a `Span`.
        unsafe {
            if !span.as_ref().is_listed {
                self.link(class, span);
                self.full[class.index()] -= 1;
            }
            let Span { next, previous, used, is_kept, .. } = span.read();
            if used == 0 && !is_kept {
                if next.is_none() && previous.is_none() {
                    self.keep(class, span, frames);
                } else {
                    self.release(class, span, frames);
                }
            }
        }
    }

    /// Keeps an empty span, in the place of the one that has been kept longest.
    ///
    /// # Safety
    /// The span belongs to this class and is not kept yet.
    unsafe fn keep(
        &mut self,
        class: Class,
        mut span: NonNull<Span>,
        frames: &mut impl FrameSource,
    ) {
        let before = self.kept[self.oldest].replace((class, span));
        self.oldest = (self.oldest + 1) % KEPT;
        // SAFETY: the span belongs to this class; one that is kept is given back nowhere else, so
        // it still belongs to its class, and is in the list if it is empty.
        unsafe {
            span.as_mut().is_kept = true;
            if let Some((class, mut span)) = before {
                span.as_mut().is_kept = false;
                if span.as_ref().used == 0 {
                    self.release(class, span, frames);
                }
            }
        }
    }

    /// Gives all spans without blocks in use back. Returns whether there was one.
    #[cold]
    pub(super) fn trim(&mut self, frames: &mut impl FrameSource) -> bool {
        for (_, mut span) in self.kept.iter_mut().filter_map(Option::take) {
            // SAFETY: a span that is kept is given back nowhere else.
            unsafe { span.as_mut().is_kept = false }
        }
        let mut found = false;
        for class in Class::all() {
            let mut next = self.spans[class.index()];
            while let Some(span) = next {
                // SAFETY: a span in the list belongs to it; `next` is read before it is released.
                unsafe {
                    next = span.as_ref().next;
                    if span.as_ref().used == 0 {
                        self.release(class, span, frames);
                        found = true;
                    }
                }
            }
        }
        found
    }

    fn add_span(&mut self, class: Class, frames: &mut impl FrameSource) -> Option<()> {
        let count = class.span_frames();
        let span = frames.allocate(count, count)?.cast::<Span>();
        let untouched = class.blocks(HEADER) as u16;
        // SAFETY: the frames were just allocated, for this list alone.
        unsafe {
            span.write(Span {
                free: None,
                next: None,
                previous: None,
                used: 0,
                untouched,
                is_listed: false,
                is_kept: false,
            });
            self.link(class, span);
        }
        Some(())
    }

    /// # Safety
    /// The span is in the list of this class, it is not kept, and no block of it is in use.
    unsafe fn release(&mut self, class: Class, span: NonNull<Span>, frames: &mut impl FrameSource) {
        // SAFETY: `add_span` allocated the frames, and nobody uses them any more.
        unsafe {
            self.unlink(class, span);
            frames.free(span.cast(), class.span_frames());
        }
    }

    /// # Safety
    /// The span belongs to this class and is not in the list.
    unsafe fn link(&mut self, class: Class, mut span: NonNull<Span>) {
        let head = &mut self.spans[class.index()];
        // SAFETY: the span belongs to this class, and so does the one that the list begins with.
        unsafe {
            let header = span.as_mut();
            (header.next, header.previous, header.is_listed) = (*head, None, true);
            if let Some(mut next) = *head {
                next.as_mut().previous = Some(span);
            }
        }
        *head = Some(span);
    }

    /// # Safety
    /// The span is in the list of this class.
    unsafe fn unlink(&mut self, class: Class, mut span: NonNull<Span>) {
        // SAFETY: the span and its neighbours are in this list, so they begin with a `Span`.
        unsafe {
            let Span { next, previous, .. } = span.read();
            span.as_mut().is_listed = false;
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => self.spans[class.index()] = next,
            }
        }
    }
}
