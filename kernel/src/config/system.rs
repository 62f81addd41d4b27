//! The keys that the system reads from the command line for itself.

use super::words;

/// The words of a command line that have a value, as key and value.
///
/// For the system's own keys: nothing is allocated, so that it works before there is a heap, and no
/// word is an error. Quotes that enclose a word or a value are taken off; values of the system's
/// keys have no need of other quoting.
pub fn pairs(command_line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut words = words(command_line);
    core::iter::from_fn(move || words.next_raw()).filter_map(|word| {
        let word = plain(word);
        let (key, value) = word.strip_prefix("--").unwrap_or(word).split_once('=')?;
        Some((key, plain(value)))
    })
}

/// The values of the system's keys, as text. A key that is given again replaces its value.
///
/// What is wrong with a value is for the part of the system that it is meant for to say; what is
/// wrong with the rest of the command line, for the app's own arguments. The network reads its keys
/// itself, from [`pairs`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct System<'a> {
    /// `log=`
    pub log: Option<&'a str>,
    /// `mayfly.exit=`
    pub exit: Option<&'a str>,
    /// `xen.queues=`
    pub queues: Option<&'a str>,
}

impl<'a> System<'a> {
    /// Reads the system's keys from a command line.
    pub fn parse(command_line: &'a str) -> Self {
        let mut system = Self::default();
        for (key, value) in pairs(command_line) {
            match key {
                "log" => system.log = Some(value),
                "mayfly.exit" => system.exit = Some(value),
                "xen.queues" => system.queues = Some(value),
                _ => {}
            }
        }
        system
    }
}

/// A word without the quotes that enclose all of it.
fn plain(word: &str) -> &str {
    let inner = |quote| word.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_between_other_words() {
        let line = "name='a ip=1' ip=10.0.0.2/24 --log='info,net=debug' \"dns=1.1.1.1\" ip=off ip6";
        let expected = [
            ("name", "a ip=1"),
            ("ip", "10.0.0.2/24"),
            ("log", "info,net=debug"),
            ("dns", "1.1.1.1"),
            ("ip", "off"),
        ];
        assert!(pairs(line).eq(expected));
        let system = System::parse("log=warn mayfly.exit=halt log=info");
        assert_eq!(system, System { log: Some("info"), exit: Some("halt"), queues: None });
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in any::<String>()) {
            System::parse(&line);
        }
    }
}
