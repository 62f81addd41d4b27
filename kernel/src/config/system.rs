//! The keys that the system reads from the command line for itself.

use super::{argument::same_key, words};

/// The system's keys, with what they are for. Apps cannot have keys of these names, nor any that
/// start with `mayfly.` or `virtio_mmio.`.
pub const SYSTEM_KEYS: &[(&str, &str)] = &[
    ("ip", "IPv4 address of the first network device with its prefix length, 10.0.0.2/24, or dhcp"),
    ("gateway", "IPv4 address of the default router"),
    ("dns", "addresses of name servers, separated by commas"),
    ("ip6", "IPv6 address with its prefix length, or auto or off"),
    ("log", "log level, and levels by module: info,mayfly::net=debug"),
    ("mayfly.exit", "what the guest does when the app ends"),
];

/// Prefixes of keys that hypervisors and later versions of the system use. QEMU's microvm machine
/// adds one `virtio_mmio.device=SIZE@ADDRESS:IRQ` for every device.
const SYSTEM_PREFIXES: [&str; 2] = ["mayfly.", "virtio_mmio."];

/// Whether `key` belongs to the system and not to the app.
pub fn is_system_key(key: &str) -> bool {
    SYSTEM_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || SYSTEM_KEYS.iter().any(|(known, _)| same_key(known, key))
}

/// The values of the system's keys, as text. A key that is given again replaces its value.
///
/// Parsing allocates nothing, so that it works before there is a heap. What is wrong with a value
/// is for the part of the system that it is meant for to say; what is wrong with the rest of the
/// command line, for the app's own arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct System<'a> {
    /// `ip=`
    pub ip: Option<&'a str>,
    /// `gateway=`
    pub gateway: Option<&'a str>,
    /// `dns=`
    pub dns: Option<&'a str>,
    /// `ip6=`
    pub ip6: Option<&'a str>,
    /// `log=`
    pub log: Option<&'a str>,
    /// `mayfly.exit=`
    pub exit: Option<&'a str>,
}

impl<'a> System<'a> {
    /// Reads the system's keys from a command line.
    pub fn parse(command_line: &'a str) -> Self {
        let mut system = Self::default();
        let mut words = words(command_line);
        while let Some(word) = words.next_raw() {
            let word = plain(word);
            let Some((key, value)) = word.strip_prefix("--").unwrap_or(word).split_once('=') else {
                continue;
            };
            let field = match key {
                "ip" => &mut system.ip,
                "gateway" => &mut system.gateway,
                "dns" => &mut system.dns,
                "ip6" => &mut system.ip6,
                "log" => &mut system.log,
                "mayfly.exit" => &mut system.exit,
                _ => continue,
            };
            *field = Some(plain(value));
        }
        system
    }
}

/// A word without the quotes that enclose all of it. Values of the system's keys have no need of
/// other quoting.
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
        assert!(!is_system_key("port") && !is_system_key("ipv"));
    }

    #[test]
    fn values_are_found_between_other_words() {
        let line =
            "name='a ip=1' ip=10.0.0.2/24 --log='info,net=debug' \"dns=1.1.1.1\" ip=dhcp ip6";
        let expected = System {
            ip: Some("dhcp"),
            log: Some("info,net=debug"),
            dns: Some("1.1.1.1"),
            ..System::default()
        };
        assert_eq!(System::parse(line), expected);
        assert_eq!(System::parse("mayfly.exit=halt gateway=").exit, Some("halt"));
        assert_eq!(System::parse("gateway=").gateway, Some(""));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in any::<String>()) {
            System::parse(&line);
        }
    }
}
