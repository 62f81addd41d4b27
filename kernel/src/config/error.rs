//! What can be wrong with a command line.

use alloc::string::String;
use core::fmt;

use super::{Argument, Help, UnterminatedQuote};

/// Most characters of a command line's word that an error repeats.
const MAX_SHOWN: usize = 48;

/// Why boot arguments could not be parsed. The text names the key and says what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing is wrong: the command line asks for the help text, which this displays as.
    Help(Help),
    /// A quote is not closed.
    Quote(UnterminatedQuote),
    /// The app has no such key.
    Unknown {
        /// What was given, shortened.
        key: String,
        /// The app's key that was probably meant.
        nearest: Option<&'static str>,
        /// All of the app's keys.
        known: &'static [Argument],
    },
    /// A key that must be given was not.
    Missing(&'static Argument),
    /// A key that may be given once was given again.
    Duplicate(&'static Argument),
    /// A key was given without a value.
    NoValue(&'static Argument),
    /// A value is not what the key expects.
    Invalid {
        /// The key.
        argument: &'static Argument,
        /// What was given, shortened.
        value: String,
    },
}

/// The start of a hostile or mistyped word, in printable ASCII, fit for an error message.
pub(super) fn shorten(word: &str) -> String {
    let mut shown: String = word.chars().take(MAX_SHOWN).flat_map(|c| c.escape_default()).collect();
    if word.chars().nth(MAX_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Help(help) => help.fmt(f),
            Self::Quote(error) => error.fmt(f),
            Self::Unknown { key, nearest: Some(nearest), .. } => {
                write!(f, "unknown boot argument `{key}`; did you mean `{nearest}`?")
            }
            Self::Unknown { key, nearest: None, known } => unknown(f, key, known),
            Self::Missing(Argument { key, expects, .. }) => {
                write!(f, "boot argument `{key}` is missing; add {key}=VALUE: {expects}")
            }
            Self::Duplicate(Argument { key, .. }) => {
                write!(f, "boot argument `{key}` is given twice; keep one")
            }
            Self::NoValue(Argument { key, expects, .. }) => {
                write!(f, "boot argument `{key}` needs a value; write {key}=VALUE: {expects}")
            }
            Self::Invalid { argument: Argument { key, expects, .. }, value } => {
                write!(f, "boot argument `{key}` is `{value}`, but it must be {expects}")
            }
        }
    }
}

fn unknown(f: &mut fmt::Formatter<'_>, key: &str, known: &[Argument]) -> fmt::Result {
    write!(f, "unknown boot argument `{key}`; ")?;
    if known.is_empty() {
        return f.write_str("this app takes none");
    }
    f.write_str("this app knows ")?;
    for (i, argument) in known.iter().enumerate() {
        write!(f, "{}{}", if i == 0 { "" } else { ", " }, argument.key)?;
    }
    Ok(())
}

impl core::error::Error for ConfigError {}

impl From<UnterminatedQuote> for ConfigError {
    fn from(error: UnterminatedQuote) -> Self {
        Self::Quote(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_are_shown_short_and_printable() {
        assert_eq!(shorten("a\u{1b}[31m"), "a\\u{1b}[31m");
        let long = shorten(&"x".repeat(100_000));
        assert!(long.len() < 60 && long.ends_with("..."));
    }
}
