//! The words of a command line, sorted by the keys of an app.

use alloc::{borrow::Cow, vec::Vec};

use super::{
    App, Argument, ConfigError, Help, Takes, Value, argument::same_key, error::shorten,
    is_system_key, nearest::nearest, words,
};

/// The values that a command line gives to an app's keys, as text.
#[derive(Debug)]
pub struct Values<'a> {
    given: Vec<(&'static Argument, Option<Cow<'a, str>>)>,
}

/// Splits a word into its key and what comes after the `=`.
pub(super) fn split(word: Cow<'_, str>) -> (Cow<'_, str>, Option<Cow<'_, str>>) {
    match word {
        Cow::Borrowed(word) => {
            let (key, value) = split_str(word);
            (Cow::Borrowed(key), value.map(Cow::Borrowed))
        }
        Cow::Owned(word) => {
            let (key, value) = split_str(&word);
            (Cow::Owned(key.into()), value.map(|value| Cow::Owned(value.into())))
        }
    }
}

fn split_str(word: &str) -> (&str, Option<&str>) {
    let word = word.strip_prefix("--").unwrap_or(word);
    match word.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (word, None),
    }
}

impl<'a> Values<'a> {
    /// Sorts the words of `command_line` by `arguments`.
    ///
    /// # Errors
    /// A key is unknown or given too often, a quote is not closed, or the line asks for help.
    pub fn collect(
        command_line: &'a str,
        app: &'static App,
        arguments: &'static [Argument],
    ) -> Result<Self, ConfigError> {
        let mut values = Self { given: Vec::new() };
        for word in words(command_line) {
            let (key, value) = split(word?);
            if key.is_empty() && value.is_none() || is_system_key(&key) {
                continue; // a lone `--` separates nothing here
            }
            let known = arguments.iter().find(|argument| same_key(argument.key, &key));
            match known {
                Some(argument) => values.add(argument, value)?,
                None if key == "help" && value.is_none() => {
                    return Err(ConfigError::Help(Help { app, arguments }));
                }
                None => {
                    let nearest = nearest(&key, arguments);
                    let key = shorten(&key);
                    return Err(ConfigError::Unknown { key, nearest, known: arguments });
                }
            }
        }
        Ok(values)
    }

    fn add(
        &mut self,
        argument: &'static Argument,
        value: Option<Cow<'a, str>>,
    ) -> Result<(), ConfigError> {
        if value.is_none() && argument.takes != Takes::Flag {
            return Err(ConfigError::NoValue(argument));
        }
        if argument.takes != Takes::List && self.of(argument).next().is_some() {
            return Err(ConfigError::Duplicate(argument));
        }
        self.given.push((argument, value));
        Ok(())
    }

    fn of(&self, argument: &'static Argument) -> impl Iterator<Item = Option<&str>> {
        let mine = self.given.iter().filter(move |(given, _)| given.key == argument.key);
        mine.map(|(_, value)| value.as_deref())
    }

    /// The value of a key that takes one, if it was given.
    ///
    /// # Errors
    /// It is not what the key expects.
    pub fn one<T: Value>(&self, argument: &'static Argument) -> Result<Option<T>, ConfigError> {
        self.of(argument).next().map(|text| read(argument, text.unwrap_or_default())).transpose()
    }

    /// The value of a key that must be given.
    ///
    /// # Errors
    /// It is missing, or not what the key expects.
    pub fn required<T: Value>(&self, argument: &'static Argument) -> Result<T, ConfigError> {
        self.one(argument)?.ok_or(ConfigError::Missing(argument))
    }

    /// The value of a key, or that of the argument's default text.
    ///
    /// # Errors
    /// Either is not what the key expects.
    pub fn or_default<T: Value>(&self, argument: &'static Argument) -> Result<T, ConfigError> {
        match self.one(argument)? {
            Some(value) => Ok(value),
            None => read(argument, argument.default.unwrap_or_default()),
        }
    }

    /// Whether a flag is set, if it was given.
    ///
    /// # Errors
    /// It was given a value other than yes or no.
    pub fn flag(&self, argument: &'static Argument) -> Result<Option<bool>, ConfigError> {
        let Some(text) = self.of(argument).next() else { return Ok(None) };
        text.map_or(Ok(true), |text| read(argument, text)).map(Some)
    }

    /// All values of a key that takes several: each time it was given, split at commas.
    ///
    /// # Errors
    /// One of them is not what the key expects.
    pub fn list<T: Value>(&self, argument: &'static Argument) -> Result<Vec<T>, ConfigError> {
        let items = self.of(argument).flatten().flat_map(|text| text.split(','));
        items.filter(|item| !item.is_empty()).map(|item| read(argument, item)).collect()
    }
}

fn read<T: Value>(argument: &'static Argument, text: &str) -> Result<T, ConfigError> {
    T::parse(text).ok_or_else(|| ConfigError::Invalid { argument, value: shorten(text) })
}
