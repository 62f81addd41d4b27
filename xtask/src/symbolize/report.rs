//! Finding addresses in what a guest prints, and saying where they are in the source.

use std::ops::Range;

use super::DebugInfo;
use super::debug_info::Place;

/// Adds places in the source to the lines of a backtrace.
pub struct Annotator {
    debug_info: DebugInfo,
    /// Whether the line before this one was part of a backtrace.
    in_backtrace: bool,
    /// How many lines there were to which something was added.
    pub added: usize,
}

impl Annotator {
    /// An annotator for what the image with this debug information prints.
    pub fn new(debug_info: DebugInfo) -> Self {
        Self { debug_info, in_backtrace: false, added: 0 }
    }

    /// The lines to be printed below `line`, each with its line end; empty for most lines.
    pub fn annotate(&mut self, line: &str) -> String {
        let Some(address) = address_in(line, &self.debug_info.text) else {
            self.in_backtrace = false;
            return String::new();
        };
        // The first address is where the processor was. The others are return addresses: what
        // belongs to the frame is the call, which stands before them.
        let probe = if self.in_backtrace { address - 1 } else { address };
        self.in_backtrace = true;
        let below: String = self.debug_info.places(probe).iter().map(below).collect();
        self.added += usize::from(!below.is_empty());
        below
    }
}

/// A line about `place`, for below the line of the backtrace that it belongs to.
fn below(place: &Place) -> String {
    format!("        at {place}\n")
}

/// The address in the range `text` that a line of a backtrace tells of: it is the only one in the
/// line. Lines with more are register dumps.
pub fn address_in(line: &str, text: &Range<u64>) -> Option<u64> {
    let mut found = line
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter_map(|word| word.strip_prefix("0x"))
        .filter(|digits| digits.len() >= 8)
        .filter_map(|digits| u64::from_str_radix(digits, 16).ok());
    let address = found.next().filter(|address| text.contains(address))?;
    found.next().is_none().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backtrace_lines_are_told_from_others() {
        let text = 0x8000_1000..0x8000_2000;
        assert_eq!(address_in("  #1 0x80001234 mayfly::boot+0x14", &text), Some(0x8000_1234));
        assert_eq!(address_in("  pc=0x0000000080001234", &text), Some(0x8000_1234));
        assert_eq!(address_in("r0 0x80001234 r1 0x80001238", &text), None);
        assert_eq!(address_in("data at 0x80002000", &text), None);
        assert_eq!(address_in("listening on port 80", &text), None);
    }
}
