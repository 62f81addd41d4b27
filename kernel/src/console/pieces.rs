//! Formatted text in pieces that nothing gets into.
//!
//! The parts of a line are formatted one by one, and an interrupt handler that logs meanwhile would
//! write into the middle. So they are put together first. Interrupts stay on: what an app has to show
//! may take its time, or panic.

use core::fmt::{self, Write};

use heapless::String;

/// Bytes of a piece at most: a line of the log is one, unless it is very long. They are on the stack.
const SIZE: usize = 256;

/// Formats text, and has `write` write it.
///
/// # Errors
/// If what is formatted gives one.
pub(crate) fn write_in_pieces(text: fmt::Arguments<'_>, write: impl FnMut(&str)) -> fmt::Result {
    let mut pieces = Pieces { begun: String::new(), write };
    let result = pieces.write_fmt(text);
    pieces.end();
    result
}

struct Pieces<W> {
    begun: String<SIZE>,
    write: W,
}

impl<W: FnMut(&str)> Pieces<W> {
    fn end(&mut self) {
        (self.write)(&self.begun);
        self.begun.clear();
    }
}

impl<W: FnMut(&str)> Write for Pieces<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.begun.push_str(text).is_err() {
            self.end();
            // What is longer than a piece is one.
            if self.begun.push_str(text).is_err() {
                (self.write)(text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec, vec::Vec};

    use super::*;

    fn pieces_of(text: fmt::Arguments<'_>) -> Vec<String> {
        let mut pieces = Vec::new();
        write_in_pieces(text, |piece| pieces.push(piece.into())).unwrap();
        pieces
    }

    #[test]
    fn a_line_is_one_piece() {
        assert_eq!(pieces_of(format_args!("{} is {:4}{}", "it", 7, '\n')), ["it is    7\n"]);
    }

    #[test]
    fn what_does_not_fit_is_the_next_one() {
        let (short, long) = ("a".repeat(200), "b".repeat(300));
        let expected = vec![short.clone(), short.clone() + "c", long.clone(), "d".into()];
        let got = pieces_of(format_args!("{short}{short}c{long}d"));
        assert_eq!(got, expected);
    }
}
