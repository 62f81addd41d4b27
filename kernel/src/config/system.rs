//! The keys that the system reads from the command line for itself.

use super::{argument::same_key, words};

/// The system's keys, with what they are for. Apps cannot have keys of these names, nor any that
/// start with `mayfly.` or `virtio_mmio.`.
pub const SYSTEM_KEYS: &[(&str, &str)] = &[
    ("ip", "IPv4 address of the first network with its prefix length, 10.0.0.2/24, or dhcp or off"),
    ("gateway", "IPv4 address of the router to other networks"),
    ("ip6", "IPv6 address with its prefix length, or auto or off"),
    ("gateway6", "IPv6 address of the router to other networks"),
    ("dns", "addresses of name servers, separated by commas"),
    ("log", "log level, and levels by module: info,mayfly::net=debug"),
    ("xen.queues", "queues of each network card and disk of Xen, if its back end has as many: 1"),
    ("mayfly.exit", "what the guest does when the app ends"),
];

/// Prefixes of keys that hypervisors and later versions of the system use. QEMU's microvm machine
/// adds one `virtio_mmio.device=SIZE@ADDRESS:IRQ` for every device.
const SYSTEM_PREFIXES: [&str; 2] = ["mayfly.", "virtio_mmio."];

/// Whether `key` belongs to the system and not to the app.
pub fn is_system_key(key: &str) -> bool {
    SYSTEM_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || is_network_key(key)
        || SYSTEM_KEYS.iter().any(|(known, _)| same_key(known, key))
}

/// Whether `key` is about another network than the first: `net1.ip`.
fn is_network_key(key: &str) -> bool {
    let number = key.strip_prefix("net").and_then(|rest| rest.split_once('.'));
    number.is_some_and(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()))
}

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
    fn system_keys_are_known_by_name_and_prefix() {
        assert!(is_system_key("ip") && is_system_key("virtio_mmio.device"));
        assert!(is_system_key("mayfly.anything"));
        assert!(is_system_key("net1.ip") && !is_system_key("network.ip"));
        assert!(!is_system_key("port") && !is_system_key("ipv"));
    }

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
