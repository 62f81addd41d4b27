//! Function names for reports: readable, and short enough for a line.

/// Longest name; what is beyond is cut.
const LONGEST: usize = 96;

/// The name that a report gives to the function with the linker symbol `symbol`: demangled,
/// without its hash, and with paths inside `<…>` shortened to their last part.
pub fn readable(symbol: &str) -> String {
    let full = format!("{:#}", rustc_demangle::demangle(symbol));
    let mut short = shorten(&full);
    if short.chars().count() > LONGEST {
        short = short.chars().take(LONGEST - 2).chain("..".chars()).collect();
    }
    short
}

/// As [`readable`], for the table in the image, where each letter costs: of a long path the crate
/// and the last two parts.
pub fn short(symbol: &str) -> String {
    let name = readable(symbol);
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => {
                parts.push(&name[start..at]);
                start = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&name[start..]);
    if parts.len() > 3 {
        parts.drain(1..parts.len() - 2);
    }
    parts.join("::")
}

/// Shortens the paths that stand inside angle brackets or parentheses to their last part:
/// `<core::time::Duration as core::fmt::Debug>::fmt` becomes `<Duration as Debug>::fmt`.
fn shorten(name: &str) -> String {
    let mut short = String::new();
    // Where the path that is being read starts in `short`.
    let mut path = 0;
    let mut depth = 0_usize;
    let mut characters = name.chars().peekable();
    let mut previous = ' ';
    while let Some(character) = characters.next() {
        let arrow = previous == '-' && character == '>';
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' if !arrow => depth = depth.saturating_sub(1),
            _ => {}
        }
        let in_word = character.is_alphanumeric() || "_{}#$".contains(character);
        if character == ':' && characters.peek() == Some(&':') {
            characters.next();
            // After a bracket `::` goes on with a path that must stay: `<A as B>::f`.
            if depth > 0 && path < short.len() {
                short.truncate(path);
            } else {
                short.push_str("::");
                path = short.len();
            }
        } else {
            short.push(character);
            if !in_word {
                path = short.len();
            }
        }
        previous = character;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_left_out() {
        assert_eq!(readable("_ZN6mayfly4boot5start17h0123456789abcdefE"), "mayfly::boot::start");
        assert_eq!(readable("memcpy"), "memcpy");
    }

    #[test]
    fn paths_in_brackets_are_shortened() {
        for (full, short) in [
            ("mayfly::boot::start", "mayfly::boot::start"),
            ("<core::time::Duration as core::fmt::Debug>::fmt", "<Duration as Debug>::fmt"),
            ("core::ptr::drop_in_place<alloc::vec::Vec<u8>>", "core::ptr::drop_in_place<Vec<u8>>"),
            ("a::b<c::d::{{closure}}, (e::f, g::h)>::i", "a::b<{{closure}}, (f, h)>::i"),
            ("a::<impl b::c for d::e>::f", "a::<impl c for e>::f"),
            ("<fn(a::b) -> c::d as e::F>::g", "<fn(b) -> d as F>::g"),
        ] {
            assert_eq!(shorten(full), short);
        }
    }

    #[test]
    fn the_middle_of_long_paths_is_left_out() {
        for (full, expected) in [
            ("memcpy", "memcpy"),
            ("mayfly::boot::start", "mayfly::boot::start"),
            ("mayfly::executor::scheduler::Executor::run", "mayfly::Executor::run"),
            ("a::b::<impl c::d for e>::f", "a::<impl d for e>::f"),
            ("<fn(a::b) -> c::d as e::F>::g", "<fn(b) -> d as F>::g"),
        ] {
            assert_eq!(short(full), expected);
        }
    }

    #[test]
    fn long_names_are_cut() {
        let name = readable(&"x".repeat(200));
        assert_eq!(name.len(), LONGEST);
        assert!(name.ends_with(".."));
    }
}
