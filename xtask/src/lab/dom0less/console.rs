//! What Xen's console shows, told apart: what the guest prints, and what Xen says.
//!
//! Xen collects what a guest writes to its UART, and prints it line by line with a prefix of its own
//! (`vpl011_write_data_xen` in xen/arch/arm/vpl011.c). Longer lines come in parts.

/// What Xen puts before what the first guest prints.
const GUEST: &[u8] = b"(XEN) DOM1: ";
/// What it puts before its own messages.
const XEN: &[u8] = b"(XEN) ";
/// Bytes of a guest's line after which Xen prints what it has of it. The line break that follows is
/// Xen's, then: the guest's own would have come sooner, or comes by itself in the next part.
const PART: usize = 126;

/// Something that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Printed {
    /// By the guest: a line, or a part of one.
    Guest(Vec<u8>),
    /// By Xen: a line without its end.
    Xen(String),
}

/// Takes what comes from the console.
#[derive(Default)]
pub struct Splitter {
    line: Vec<u8>,
}

impl Splitter {
    /// Gives what `bytes` complete.
    pub fn split(&mut self, bytes: &[u8], give: &mut dyn FnMut(Printed)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                give(printed(&line));
            }
        }
    }
}

/// Whose a line is.
fn printed(line: &[u8]) -> Printed {
    // Xen ends lines, the guest's too, as a terminal wants it.
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if let Some(guest) = text.strip_prefix(GUEST) {
        let mut guest = guest.to_vec();
        if guest.len() != PART {
            guest.push(b'\n');
        }
        Printed::Guest(guest)
    } else {
        let text = text.strip_prefix(XEN).unwrap_or(text);
        Printed::Xen(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<Printed> {
        let (mut splitter, mut all) = (Splitter::default(), Vec::new());
        for part in parts {
            splitter.split(part, &mut |printed| all.push(printed));
        }
        all
    }

    #[test]
    fn the_guest_is_told_apart_from_xen() {
        let all = split(&[b"(XEN) Freed 348kB\r\n(XEN) DOM1: Hel", b"lo.\r\n(XEN) DOM2: no\r\n"]);
        let expected = [
            Printed::Xen("Freed 348kB".into()),
            Printed::Guest(b"Hello.\n".to_vec()),
            Printed::Xen("DOM2: no".into()),
        ];
        assert_eq!(all, expected);
        assert_eq!(split(&[b"(XEN) DOM1: not yet ended"]), []);
    }

    #[test]
    fn long_lines_are_made_whole() {
        let long = [b'x'; PART];
        let all = split(&[b"(XEN) DOM1: ", &long, b"\r\n(XEN) DOM1: y\r\n(XEN) DOM1: \r\n"]);
        let expected = [
            Printed::Guest(long.to_vec()),
            Printed::Guest(b"y\n".to_vec()),
            Printed::Guest(b"\n".to_vec()),
        ];
        assert_eq!(all, expected);
    }
}
