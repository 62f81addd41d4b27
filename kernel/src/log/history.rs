//! The last lines of the log, for the fault report.

/// Bytes that are kept.
const SIZE: usize = 2048;

/// A ring of text: new text overwrites the oldest.
pub(super) struct History {
    bytes: [u8; SIZE],
    /// Where the next byte goes.
    next: usize,
    /// The ring has been filled once.
    full: bool,
}

impl History {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; SIZE], next: 0, full: false }
    }

    pub(super) fn push(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            self.bytes[self.next] = byte;
            self.next = (self.next + 1) % SIZE;
            self.full |= self.next == 0;
        }
    }

    /// The text, oldest first, in two pieces, from the first whole line on.
    #[cfg_attr(
        all(not(target_os = "none"), not(test)),
        allow(dead_code, reason = "a process writes no report")
    )]
    pub(super) fn pieces(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at(self.next);
        let older = if self.full { older } else { &[] };
        let start = older.iter().position(|&byte| byte == b'\n').map_or(older.len(), |at| at + 1);
        let older = &older[start..];
        // A ring that is full without a line end in its older half starts within a line.
        [older, newer]
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    fn text(history: &History) -> String {
        String::from_utf8(history.pieces().concat()).expect("text")
    }

    #[test]
    fn keeps_all_until_it_is_full() {
        let mut history = History::new();
        history.push("one\n");
        history.push("two\n");
        assert_eq!(text(&history), "one\ntwo\n");
    }

    #[test]
    fn drops_the_oldest_lines_whole() {
        let mut history = History::new();
        for number in 0..1000 {
            history.push(&std::format!("line {number}\n"));
        }
        let text = text(&history);
        assert!(text.len() <= SIZE && text.len() > SIZE - 20);
        assert!(text.starts_with("line ") && text.ends_with("line 999\n"));
    }
}
