//! Frames that come in several parts.
//!
//! A frame that is longer than a page, as TCP packets are that nobody has cut into segments yet,
//! takes a page and a response for each 4096 bytes of it. The first response may be followed by what
//! is said about the frame ([`ExtraInfo`]), and then come the others:
//!
//! ```text
//!   first part   more data, extra info    ─► the beginning of the frame, or all of it
//!   extra info                                whose page is not used
//!   part         more data                ─► 4096 bytes
//!   part                                  ─► the rest
//! ```
//!
//! The stack wants a frame in one piece, so that it is put together, which costs a copy.

use alloc::rc::Rc;

use mayfly_device::{FrameBuf, FramePool, PagePool, Received};

use super::{
    transmit::MAX_PAGES,
    wire::{ExtraInfo, RECEIVE_WORDS, ReceiveResponse},
};

/// Longest frame that is put together. A power of two: IPv4 packets that would be longer, by 14
/// bytes at most, are never made by TCP.
const LONGEST: usize = 65_536;
/// Frames that were put together and that the stack may hold.
const MAX_WHOLE: usize = 4;
/// Most entries about one frame: there are not more kinds of them.
const MAX_EXTRAS: usize = 5;
/// Shortest frame: an Ethernet header, in its first part.
const MIN_FRAME: usize = 14;

/// What the next response is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Frame,
    Part,
    Extra { then_part: bool },
}

/// What came of a response.
pub(super) enum Outcome {
    /// The frame is not complete.
    More,
    Frame(Received),
    /// One that cannot be taken.
    Dropped,
}

/// Where frames are put together.
pub(super) struct Assembler {
    pool: Rc<dyn FramePool>,
    expected: Expected,
    /// What there is of the frame: its first part, on the page on which it came; with others, a
    /// large buffer. `None` if there is no frame, or it cannot be taken.
    frame: Option<FrameBuf>,
    checked: bool,
    parts: usize,
    extras: usize,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self {
            pool: Rc::new(PagePool::new(LONGEST, MAX_WHOLE)),
            expected: Expected::Frame,
            frame: None,
            checked: false,
            parts: 0,
            extras: 0,
        }
    }

    /// Whether the next response is to have an id.
    pub(super) fn expects_page(&self) -> bool {
        !matches!(self.expected, Expected::Extra { .. })
    }

    /// Takes a response, and the page that it is about, if that was given back.
    pub(super) fn take(&mut self, words: [u32; RECEIVE_WORDS], page: Option<FrameBuf>) -> Outcome {
        self.expected = match self.expected {
            Expected::Extra { then_part } => self.extra(words, then_part),
            Expected::Frame => {
                let response = ReceiveResponse::read(words);
                let next = after(&response, response.has_extra());
                (self.parts, self.extras, self.checked) = (1, 0, response.is_checked());
                self.frame = page.and_then(|page| cut(page, &response, MIN_FRAME));
                next
            }
            Expected::Part => {
                let response = ReceiveResponse::read(words);
                self.parts += 1;
                let part = page.and_then(|page| cut(page, &response, 1));
                self.frame = match (self.frame.take(), part) {
                    (Some(frame), Some(part)) => self.append(frame, &part),
                    _ => None,
                };
                after(&response, false)
            }
        };
        if self.expected != Expected::Frame {
            return Outcome::More;
        }
        match self.frame.take() {
            Some(frame) => Outcome::Frame(Received { frame, checked: self.checked }),
            None => Outcome::Dropped,
        }
    }

    /// Takes what is said about the frame. Returns what is next.
    fn extra(&mut self, words: [u32; RECEIVE_WORDS], then_part: bool) -> Expected {
        let (info, is_followed) = ExtraInfo::read(words);
        self.extras += 1;
        // Nothing else was asked for. What the segments were is of no use here.
        if info.is_none() || self.extras > MAX_EXTRAS {
            self.frame = None;
        }
        match (is_followed, then_part) {
            (true, _) => Expected::Extra { then_part },
            (false, true) => Expected::Part,
            (false, false) => Expected::Frame,
        }
    }

    /// The frame with one more part. `None` if it gets too long, or there is no memory.
    fn append(&mut self, frame: FrameBuf, part: &FrameBuf) -> Option<FrameBuf> {
        if self.parts > MAX_PAGES {
            return None;
        }
        let mut whole = if self.parts > 2 {
            frame
        } else {
            let mut whole = FrameBuf::allocate(&self.pool, 0)?;
            extend(&mut whole, frame.bytes())?;
            whole
        };
        extend(&mut whole, part.bytes())?;
        Some(whole)
    }
}

/// What is next after a part of a frame.
fn after(response: &ReceiveResponse, has_extra: bool) -> Expected {
    match (has_extra, response.has_more()) {
        (true, then_part) => Expected::Extra { then_part },
        (false, true) => Expected::Part,
        (false, false) => Expected::Frame,
    }
}

/// What the response says is on the page. `None` if there cannot be so much, or is less than `least`.
fn cut(mut page: FrameBuf, response: &ReceiveResponse, least: usize) -> Option<FrameBuf> {
    let size = usize::try_from(response.status).ok().filter(|size| *size >= least)?;
    let start = usize::from(response.offset);
    page.set_range(start, start + size).then_some(page)
}

/// Adds bytes to a frame, if there is room.
fn extend(frame: &mut FrameBuf, bytes: &[u8]) -> Option<()> {
    let (start, end) = (frame.headroom(), frame.headroom() + frame.bytes().len());
    frame.whole_mut().get_mut(end..end + bytes.len())?.copy_from_slice(bytes);
    frame.set_range(start, end + bytes.len()).then_some(())
}
