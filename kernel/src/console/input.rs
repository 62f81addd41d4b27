//! What was typed and not read yet, and the editing of a line.

use alloc::{string::String, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    task::{Context, Poll, Waker},
};

use heapless::Deque;

use crate::executor::{self, Awaiting};

/// Bytes that wait to be read. More stay in the device.
const SIZE: usize = 256;

/// Longest line, in bytes; what is typed beyond it is ignored.
const MAX_LINE: usize = 1024;

const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

/// The queue of typed bytes.
pub(super) struct Input {
    typed: RefCell<Deque<u8, SIZE>>,
    reader: Cell<Option<Waker>>,
    /// The task that fills the queue, if it waits for room.
    filler: Cell<Option<Waker>>,
}

impl Input {
    pub(super) const fn new() -> Self {
        Self { typed: RefCell::new(Deque::new()), reader: Cell::new(None), filler: Cell::new(None) }
    }

    /// Whether `count` bytes fit. If not, the task of `cx` is woken when some were read.
    pub(super) fn has_room(&self, count: usize, cx: &mut Context<'_>) -> bool {
        let has_room = SIZE - self.typed.borrow().len() >= count;
        if !has_room {
            self.filler.set(Some(cx.waker().clone()));
        }
        has_room
    }

    /// Adds typed bytes; those that do not fit are lost.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut typed = self.typed.borrow_mut();
        for byte in bytes {
            let _ = typed.push_back(*byte);
        }
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Takes typed bytes.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<usize> {
        let (mut count, wanted) = (0, buffer.len());
        for slot in buffer {
            let Some(byte) = self.typed.borrow_mut().pop_front() else {
                break;
            };
            *slot = byte;
            count += 1;
        }
        if count == 0 && wanted > 0 {
            executor::describe(Awaiting::new("console input", 0));
            self.reader.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        if let Some(filler) = self.filler.take() {
            filler.wake();
        }
        Poll::Ready(count)
    }
}

/// A line that is being typed.
pub(super) struct LineEditor {
    line: Vec<u8>,
    echo: &'static [u8],
    last: [u8; 1],
}

impl LineEditor {
    pub(super) const fn new() -> Self {
        Self { line: Vec::new(), echo: b"", last: [0] }
    }

    /// Takes a typed byte. Returns whether it ends the line.
    pub(super) fn typed(&mut self, byte: u8) -> bool {
        (self.echo, self.last) = (b"", [byte]);
        match byte {
            b'\r' | b'\n' => {
                self.echo = b"\r\n";
                return true;
            }
            BACKSPACE | DELETE if self.remove_last() => self.echo = b"\x08 \x08",
            0..=31 | DELETE => {}
            _ if self.line.len() < MAX_LINE && self.line.try_reserve(1).is_ok() => {
                self.line.push(byte);
                self.echo = b"?";
            }
            _ => {}
        }
        false
    }

    /// What to show for the byte that was typed last.
    pub(super) fn echo(&self) -> &[u8] {
        if self.echo == b"?" { &self.last } else { self.echo }
    }

    /// Removes the last character, which may be several bytes. Returns whether there was one.
    fn remove_last(&mut self) -> bool {
        while let Some(byte) = self.line.pop() {
            let continues_a_character = byte & 0xc0 == 0x80;
            if !continues_a_character {
                return true;
            }
        }
        false
    }

    /// The line.
    pub(super) fn finish(self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_all(bytes: &[u8]) -> (String, Vec<u8>) {
        let mut editor = LineEditor::new();
        let mut echo = Vec::new();
        for byte in bytes {
            let done = editor.typed(*byte);
            echo.extend(editor.echo());
            if done {
                break;
            }
        }
        (editor.finish(), echo)
    }

    #[test]
    fn lines_are_edited_and_echoed() {
        assert_eq!(type_all(b"helo\x7flo\r"), ("hello".into(), b"helo\x08 \x08lo\r\n".to_vec()));
        assert_eq!(type_all(b"\x08\x01what?\n").0, "what?");
        assert_eq!(type_all("aé\u{7f}b\r".as_bytes()).0, "ab");
        assert_eq!(type_all(&[b'x'; 2 * MAX_LINE]).0.len(), MAX_LINE);
        assert_eq!(type_all(b"\xff\r").0, "\u{fffd}");
    }

    #[test]
    fn typed_bytes_wait_for_the_reader() {
        let input = Input::new();
        let mut cx = Context::from_waker(Waker::noop());
        let mut buffer = [0; 4];
        assert!(input.poll_read(&mut cx, &mut buffer).is_pending());
        input.push(b"hello");
        assert_eq!(input.poll_read(&mut cx, &mut buffer), Poll::Ready(4));
        assert_eq!(input.poll_read(&mut cx, &mut buffer), Poll::Ready(1));
        input.push(&[0; 2 * SIZE]);
        assert!(!input.has_room(1, &mut cx));
    }
}
