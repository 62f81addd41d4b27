//! Ranges of bytes: RFC 9110, section 14.

/// What a `Range` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// All of the file: the header is none that a server must understand.
    Whole,
    /// The bytes from the first to the last, counted from 0, the last included.
    Part {
        /// The first byte.
        first: usize,
        /// The last byte.
        last: usize,
    },
    /// Nothing that the file has.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `length` bytes.
///
/// Several ranges in one header are answered with the whole file, as section 14.2 permits.
pub fn parse(header: &str, length: usize) -> Range {
    let Some((unit, range)) = header.trim_ascii().split_once('=') else { return Range::Whole };
    let Some((first, last)) = range.trim_ascii().split_once('-') else { return Range::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Range::Whole;
    }
    let end = length.saturating_sub(1);
    let (first, last) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.min(end)),
        (Some(first), None) if last.is_empty() => (first, end),
        // The last so many bytes.
        (None, Some(0)) if first.is_empty() => return Range::Unsatisfiable,
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), end),
        _ => return Range::Whole,
    };
    if first < length { Range::Part { first, last } } else { Range::Unsatisfiable }
}

/// A number; one that is too large for us is larger than any file.
fn number(digits: &str) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let part = |first, last| Range::Part { first, last };
        assert_eq!(parse("bytes=0-499", 10000), part(0, 499));
        assert_eq!(parse("bytes=500-999", 10000), part(500, 999));
        assert_eq!(parse("bytes=-500", 10000), part(9500, 9999));
        assert_eq!(parse("bytes=9500-", 10000), part(9500, 9999));
        assert_eq!(parse("bytes=0-0", 10000), part(0, 0));
        assert_eq!(parse("Bytes=0-0", 10000), part(0, 0));
        assert_eq!(parse("lines=0-0", 10000), Range::Whole);
        assert_eq!(parse("bytes=0-99999999999999999999999", 10), part(0, 9));
        assert_eq!(parse("bytes=-99", 10), part(0, 9));
    }

    #[test]
    fn beyond_the_end_is_unsatisfiable() {
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(parse(header, 10), Range::Unsatisfiable, "{header}");
        }
        assert_eq!(parse("bytes=-1", 0), Range::Unsatisfiable);
    }

    #[test]
    fn anything_else_is_ignored() {
        for header in
            ["", "bytes=", "bytes=-", "bytes=5-2", "lines=1-2", "bytes=0-1,4-5", "bytes=a-"]
        {
            assert_eq!(parse(header, 10), Range::Whole, "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(header in "(bytes=)?[0-9]{0,22}-?[0-9]{0,3}", length in 0..200usize) {
            if let Range::Part { first, last } = parse(&header, length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
