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
    /// It is in the buffer, which was empty before: the task must be woken.
    Woken,
    /// It is in the buffer, or was dropped because that is full.
    Waiting,
    /// The buffer is not in use: the caller writes it itself.
    NotBuffered,
}

/// A ring of bytes that drops what does not fit, and says so in the text.
pub(super) struct Output {
    ring: [u8; SIZE],
    /// Where the next byte is taken.
    start: usize,
    /// How many bytes are in the ring.
    length: usize,
    /// Bytes dropped since the last note of it.
    unreported: u64,
    /// Bytes dropped in all.
    dropped: u64,
    buffered: bool,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self { ring: [0; SIZE], start: 0, length: 0, unreported: 0, dropped: 0, buffered: false }
    }

    /// Whether text is to be kept for the task. If not, `push` leaves it to the caller. Returns
    /// whether it was so far.
    pub(super) fn set_buffered(&mut self, buffered: bool) -> bool {
        mem::replace(&mut self.buffered, buffered)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many bytes fit; any number if the buffer is not in use.
    pub(super) fn room(&self) -> usize {
        if self.buffered { SIZE - self.length } else { usize::MAX }
    }

    /// Appends text; what does not fit is dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Pushed {
        if !self.buffered {
            return Pushed::NotBuffered;
        }
        let was_empty = self.length == 0;
        self.report_drops();
        let kept = if self.unreported > 0 { 0 } else { self.append(bytes) };
        let lost = (bytes.len() - kept) as u64;
        self.unreported += lost;
        self.dropped += lost;
        if was_empty && kept > 0 { Pushed::Woken } else { Pushed::Waiting }
    }

    /// Takes the next bytes out, at most as many as fit into `chunk`; how many they are.
    pub(super) fn pop(&mut self, chunk: &mut [u8]) -> usize {
        let count = self.peek(chunk);
        self.advance(count);
        count
    }

    /// Copies the next bytes; how many they are.
    pub(super) fn peek(&mut self, chunk: &mut [u8]) -> usize {
        if self.length == 0 {
            self.report_drops();
        }
        let count = chunk.len().min(self.length);
        let (until_end, from_start) = (&self.ring[self.start..], &self.ring[..self.start]);
        for (to, from) in chunk.iter_mut().zip(until_end.iter().chain(from_start)).take(count) {
            *to = *from;
        }
        count
    }

    /// Removes the next `count` bytes, or all if there are fewer.
    pub(super) fn advance(&mut self, count: usize) {
        let count = count.min(self.length);
        self.start = (self.start + count) % SIZE;
        self.length -= count;
    }

    /// Copies as much of `bytes` as fits; how much that is.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(SIZE - self.length);
        for byte in &bytes[..count] {
            self.ring[(self.start + self.length) % SIZE] = *byte;
            self.length += 1;
        }
        count
    }

    /// Marks the gap in the text once there is room for that.
    fn report_drops(&mut self) {
        if self.unreported == 0 {
            return;
        }
        let mut note = Note { text: [0; 64], length: 0 };
        // The longest number makes a note of 52 bytes.
        let _ = write!(note, "\n[{} bytes of output dropped]\n", self.unreported);
        if SIZE - self.length >= note.length {
            self.unreported = 0;
            self.append(&note.text[..note.length]);
        }
    }
}

/// A short text on the stack.
struct Note {
    text: [u8; 64],
    length: usize,
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

    fn drain(output: &mut Output) -> Vec<u8> {
        let mut all = Vec::new();
        let mut chunk = [0; 100];
        while let count @ 1.. = output.pop(&mut chunk) {
            all.extend(&chunk[..count]);
        }
        all
    }

    #[test]
    fn a_gap_is_marked_where_it_is() {
        let mut output = buffered();
        assert_eq!(output.push(&[b'x'; SIZE]), Pushed::Woken);
        assert_eq!(output.push(b"lost"), Pushed::Waiting);
        assert_eq!(output.push(b"lost, too"), Pushed::Waiting);
        output.advance(1000);
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
            for (text, take) in steps {
                let room = SIZE - output.length;
                if text.len() <= room {
                    output.push(&text);
                    expected.extend(&text);
                }
                let mut chunk = [0; 600];
                let count = output.pop(&mut chunk[..take]);
                got.extend(&chunk[..count]);
            }
            got.extend(drain(&mut output));
            prop_assert_eq!(got, expected);
        }
    }
}
