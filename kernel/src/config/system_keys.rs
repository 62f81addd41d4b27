//! The system's own boot arguments. `xtask` reads this file as well, and nothing else of the kernel.

/// The system's keys, with what they are for. Apps cannot have keys of these names, nor any that
/// start with `mayfly.` or `virtio_mmio.`.
pub const SYSTEM_KEYS: &[(&str, &str)] = &[
    ("ip", "IPv4 address of the first network with its prefix length, 10.0.0.2/24, or dhcp or off"),
    ("gateway", "IPv4 address of the router to other networks"),
    ("ip6", "IPv6 address with its prefix length, or auto, static or off"),
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
        || SYSTEM_KEYS.iter().any(|(known, _)| *known == key)
}

/// Whether `key` is about another network than the first: `net1.ip`.
fn is_network_key(key: &str) -> bool {
    let number = key.strip_prefix("net").and_then(|rest| rest.split_once('.'));
    number.is_some_and(|(number, _)| number.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_keys_are_known_by_name_and_prefix() {
        assert!(is_system_key("ip") && is_system_key("virtio_mmio.device"));
        assert!(is_system_key("mayfly.anything"));
        assert!(is_system_key("net1.ip") && !is_system_key("network.ip"));
        assert!(!is_system_key("port") && !is_system_key("ipv"));
    }
}
