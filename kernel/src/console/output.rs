//! The buffer of text on its way out.

use core::{
    fmt::{self, Write},
    mem,
};

use mayfly_arch::IrqLock;
use mayfly_device::Signal;

/// Bytes that wait at most. About fifty lines: a burst of log messages fits.
pub(super) const SIZE: usize = 4096;

/// The buffer as writers and the task share it. Locked against interrupts, because their handlers
/// may log.
pub(super) struct SharedOutput {
    pub(super) text: IrqLock<Output>,
    /// There is text for a task that found none before.
    pub(super) written: Signal,
}

impl SharedOutput {
    pub(super) const fn new() -> Self {
        Self { text: IrqLock::new(Output::new()), written: Signal::new() }
    }

    /// Appends text and wakes the task. Returns false if the buffer is not in use.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        let pushed = self.text.with(|text| text.push(bytes));
        if pushed == Pushed::Woken {
            self.written.raise();
        }
        pushed != Pushed::NotBuffered
    }
}

/// What became of text that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is in the buffer, and who has shown all before must be woken.
    Woken,
    /// It is in the buffer, or was dropped because that is full.
    Waiting,
    /// The buffer is not in use: the caller writes it itself.
    NotBuffered,
}

/// How far somebody has come with showing the output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The number of bytes before, since the start.
    pub(super) shown: u64,
    /// How many of the last of these it has missed, and not said so yet.
    pub(super) missed: u64,
}

/// A ring of bytes that drops what does not fit, and says so in the text. A place in it is the
/// number of bytes before, since the start.
pub(super) struct Output {
    ring: [u8; SIZE],
    /// The place of the oldest byte in the ring, and that after the newest.
    start: u64,
    end: u64,
    /// Of who shows what is left when the guest ends: see [`pop`](Self::pop).
    polled: Place,
    /// Bytes dropped since the last note of it.
    unreported: u64,
    /// Bytes dropped in all.
    dropped: u64,
    /// Somebody has shown all, and waits for more.
    is_awaited: bool,
    buffered: bool,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self {
            ring: [0; SIZE],
            start: 0,
            end: 0,
            polled: Place { shown: 0, missed: 0 },
            unreported: 0,
            dropped: 0,
            is_awaited: false,
            buffered: false,
        }
    }

    /// Whether text is to be kept for the task. If not, `push` leaves it to the caller. Returns
    /// whether it was so far.
    pub(super) fn set_buffered(&mut self, buffered: bool) {
        self.buffered = buffered;
    }

    /// Bytes dropped in all.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Counts bytes that somebody was not shown.
    pub(super) fn count_dropped(&mut self, count: u64) {
        self.dropped += count;
    }

    /// How many bytes fit; any number if the buffer is not in use.
    pub(super) fn room(&self) -> usize {
        if self.buffered { SIZE - self.length() } else { usize::MAX }
    }

    /// The place of the oldest byte that is still there.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The place after the newest byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes are in the ring.
    fn length(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Appends text; what does not fit is dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Pushed {
        if !self.buffered {
            return Pushed::NotBuffered;
        }
        self.report_drops();
        let kept = if self.unreported > 0 { 0 } else { self.append(bytes) };
        let lost = (bytes.len() - kept) as u64;
        self.unreported += lost;
        self.dropped += lost;
        if kept > 0 && mem::take(&mut self.is_awaited) { Pushed::Woken } else { Pushed::Waiting }
    }

    /// The next bytes that the polled console has not shown, at most as many as fit into `chunk`; how
    /// many they are. They stay for the other consoles.
    pub(super) fn pop(&mut self, chunk: &mut [u8]) -> usize {
        let count = self.peek(self.polled.shown, chunk);
        self.polled.shown += count as u64;
        count
    }

    /// How far the polled console has come.
    pub(super) fn polled(&self) -> Place {
        self.polled
    }

    /// What the polled console has to show before that.
    pub(super) fn note(&mut self) -> Note {
        match mem::take(&mut self.polled.missed) {
            0 => Note::EMPTY,
            missed => Note::new(missed),
        }
    }

    /// Copies the bytes from a place on, which is in the ring or at its end; how many they are. If
    /// there are none, the next [`push`](Self::push) wakes.
    pub(super) fn peek(&mut self, place: u64, chunk: &mut [u8]) -> usize {
        if place == self.end {
            self.report_drops();
        }
        let count = chunk.len().min(self.end.saturating_sub(place) as usize);
        self.is_awaited |= count == 0;
        let (from_start, until_end) = self.ring.split_at(place as usize % SIZE);
        for (to, from) in chunk.iter_mut().zip(until_end.iter().chain(from_start)).take(count) {
            *to = *from;
        }
        count
    }

    /// Forgets the bytes before `oldest`. `polled` is how far the polled console has come.
    pub(super) fn release(&mut self, oldest: u64, polled: Place) {
        self.start = oldest.clamp(self.start, self.end);
        self.polled = Place { shown: polled.shown.clamp(self.start, self.end), ..polled };
    }

    /// Copies as much of `bytes` as fits; how much that is.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(SIZE - self.length());
        for byte in &bytes[..count] {
            self.ring[self.end as usize % SIZE] = *byte;
            self.end += 1;
        }
        count
    }

    /// Marks the gap in the text once there is room for that.
    fn report_drops(&mut self) {
        if self.unreported == 0 {
            return;
        }
        let note = Note::new(self.unreported);
        if SIZE - self.length() >= note.rest().len() {
            self.unreported = 0;
            self.append(note.rest());
        }
    }
}

/// What stands in the place of bytes that were dropped.
pub(super) struct Note {
    text: [u8; Note::LONGEST],
    shown: usize,
    length: usize,
}

impl Note {
    /// Enough for the longest number.
    const LONGEST: usize = 48;

    /// Says nothing.
    pub(super) const EMPTY: Self = Self { text: [0; Self::LONGEST], shown: 0, length: 0 };

    /// Says that `count` bytes are missing.
    pub(super) fn new(count: u64) -> Self {
        let mut note = Self::EMPTY;
        let _ = write!(note, "\n[{count} bytes of output dropped]\n");
        note
    }

    /// What of it was not shown yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.text.get(self.shown..self.length).unwrap_or_default()
    }

    /// That `count` more bytes of it were shown.
    pub(super) fn advance(&mut self, count: usize) {
        self.shown += count;
    }
}

impl Write for Note {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.text.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn buffered() -> Output {
        let mut output = Output::new();
        output.set_buffered(true);
        output
    }

    /// What the only console shows next.
    fn take(output: &mut Output, chunk: &mut [u8]) -> usize {
        let count = output.pop(chunk);
        output.release(output.polled().shown, output.polled());
        count
    }

    fn drain(output: &mut Output) -> Vec<u8> {
        let mut all = Vec::new();
        let mut chunk = [0; 100];
        while let count @ 1.. = take(output, &mut chunk) {
            all.extend(&chunk[..count]);
        }
        all
    }

    #[test]
    fn a_gap_is_marked_where_it_is() {
        let mut output = buffered();
        assert_eq!(output.push(&[b'x'; SIZE]), Pushed::Waiting);
        assert_eq!(output.push(b"lost"), Pushed::Waiting);
        assert_eq!(output.push(b"lost, too"), Pushed::Waiting);
        output.release(1000, Place { shown: 1000, missed: 0 });
        output.push(b"kept");
        let text = String::from_utf8(drain(&mut output)).unwrap();
        assert!(text.ends_with("xxx\n[13 bytes of output dropped]\nkept"), "{text}");
        assert_eq!(output.dropped(), 13);
    }

    #[test]
    fn a_gap_at_the_end_is_marked_when_the_rest_is_out() {
        let mut output = buffered();
        output.push(&[b'x'; SIZE + 1]);
        assert!(drain(&mut output).ends_with(b"x\n[1 bytes of output dropped]\n"));
    }

    #[test]
    fn the_longest_note_fits() {
        assert_eq!(Note::new(u64::MAX).rest().len(), Note::LONGEST);
    }

    #[test]
    fn who_has_shown_all_is_woken() {
        let mut output = buffered();
        assert_eq!(output.peek(0, &mut [0; 10]), 0);
        assert_eq!(output.push(b""), Pushed::Waiting);
        assert_eq!(output.push(b"text"), Pushed::Woken);
        assert_eq!(output.push(b"text"), Pushed::Waiting);
        // One has shown all, and another one nothing.
        assert_eq!(output.peek(8, &mut [0; 10]), 0);
        assert_eq!(output.peek(0, &mut [0; 10]), 8);
        assert_eq!(output.push(b"text"), Pushed::Woken);
    }

    #[test]
    fn the_end_shows_what_the_polled_console_has_not() {
        let mut output = buffered();
        output.push(b"shown, to be shown");
        output.release(3, Place { shown: 7, missed: 5 });
        assert_eq!(output.note().rest(), b"\n[5 bytes of output dropped]\n");
        assert_eq!(output.note().rest(), b"");
        assert_eq!(drain(&mut output), b"to be shown");
    }

    #[test]
    fn without_a_task_the_caller_writes() {
        assert_eq!(Output::new().push(b"text"), Pushed::NotBuffered);
    }

    proptest! {
        #[test]
        fn what_fits_comes_out_as_it_went_in(
            steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..600), 0..600usize), 0..60),
        ) {
            let mut output = buffered();
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            for (text, amount) in steps {
                let room = output.room();
                if text.len() <= room {
                    output.push(&text);
                    expected.extend(&text);
                }
                let mut chunk = [0; 600];
                let count = take(&mut output, &mut chunk[..amount]);
                got.extend(&chunk[..count]);
            }
            got.extend(drain(&mut output));
            prop_assert_eq!(got, expected);
        }
    }
}
