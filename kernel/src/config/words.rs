//! Splits a command line into words, as a shell would.

use alloc::{borrow::Cow, string::String};
use core::{fmt, iter::FusedIterator};

/// A quote was opened and not closed before the end of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnterminatedQuote;

impl fmt::Display for UnterminatedQuote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quote in the boot arguments is not closed; add the missing ' or \"")
    }
}

impl core::error::Error for UnterminatedQuote {}

/// The words of `line`, which are separated by white space.
///
/// Between single quotes every character stands for itself; between double quotes `\"` and `\\`
/// stand for `"` and `\`; outside quotes a backslash takes the next character as it is.
pub fn words(line: &str) -> Words<'_> {
    Words { rest: line }
}

/// Iterator over the words of a command line; see [`words`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// The next word as it stands on the line, quotes and backslashes included.
    pub(super) fn next_raw(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches(is_space);
        let (word, rest) = text.split_at_checked(end_of_word(text))?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Result<Cow<'a, str>, UnterminatedQuote>;

    fn next(&mut self) -> Option<Self::Item> {
        let word = self.next_raw()?;
        if word.contains(is_quoting) {
            return Some(unquote(word).map(Cow::Owned));
        }
        Some(Ok(Cow::Borrowed(word)))
    }
}

impl FusedIterator for Words<'_> {}

/// Where the word that `text` starts with ends.
fn end_of_word(text: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    let end = text.find(|c| {
        if escaped {
            escaped = false;
            return false;
        }
        match quote {
            None if is_space(c) => return true,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            None | Some('"') if c == '\\' => escaped = true,
            _ => {}
        }
        false
    });
    end.unwrap_or(text.len())
}

/// What a word with quotes or backslashes in it stands for.
fn unquote(word: &str) -> Result<String, UnterminatedQuote> {
    let mut plain = String::new();
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, '\\') => plain.push(chars.next().unwrap_or('\\')),
            (Some('"'), '\\') if chars.as_str().starts_with(['"', '\\']) => {
                plain.extend(chars.next());
            }
            (_, c) => plain.push(c),
        }
    }
    if quote.is_none() { Ok(plain) } else { Err(UnterminatedQuote) }
}

/// What separates words. Loaders may leave a NUL or a line end behind the arguments.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\0'
}

fn is_quoting(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\')
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Vec<Result<Cow<'_, str>, UnterminatedQuote>> {
        words(line).collect()
    }

    fn ok(line: &str) -> Vec<Cow<'_, str>> {
        words(line).map(|word| word.expect("no open quote")).collect()
    }

    #[test]
    fn plain_words_borrow_from_the_line() {
        assert_eq!(ok("  a b=c \t d\n\0"), ["a", "b=c", "d"]);
        assert!(ok("a b").iter().all(|word| matches!(word, Cow::Borrowed(_))));
        assert!(ok("").is_empty());
        assert!(ok(" \0 ").is_empty());
    }

    #[test]
    fn quotes_and_backslashes_work_as_in_a_shell() {
        assert_eq!(ok(r#"n='a b' m="c d" e=f\ g"#), ["n=a b", "m=c d", "e=f g"]);
        assert_eq!(ok(r#"'a"b' "a'b" "a\"b\\c\d" 'a\b'"#), ["a\"b", "a'b", "a\"b\\c\\d", "a\\b"]);
        assert_eq!(ok(r#"a''b '' """#), ["ab", "", ""]);
        assert_eq!(ok("a\\"), ["a\\"]);
    }

    #[test]
    fn an_open_quote_is_an_error_and_the_end() {
        assert_eq!(split("a 'b c"), [Ok(Cow::Borrowed("a")), Err(UnterminatedQuote)]);
        assert_eq!(split("\"b\\\""), [Err(UnterminatedQuote)]);
    }

    /// A quoted form of `word` that reads back as `word`.
    fn quoted(word: &str) -> String {
        let mut text = String::from("'");
        text += &word.replace('\'', "'\\''");
        text.push('\'');
        text
    }

    proptest! {
        #[test]
        fn any_line_is_split_without_panic(line in any::<String>()) {
            let total: usize = words(&line).flatten().map(|word| word.len()).sum();
            prop_assert!(total <= line.len());
        }

        #[test]
        fn quoted_words_come_back(list in prop::collection::vec(any::<String>(), 0..8)) {
            let line = list.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(ok(&line), list);
        }

        #[test]
        fn noise_of_quotes_is_split_without_panic(line in "[ab='\" \\\\]{0,64}") {
            prop_assert!(words(&line).count() <= line.len());
        }
    }
}
