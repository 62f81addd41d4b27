//! The keys that the system reads from the command line for itself.

use super::argument::same_key;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_keys_are_known_by_name_and_prefix() {
        assert!(is_system_key("ip") && is_system_key("virtio_mmio.device"));
        assert!(is_system_key("mayfly.anything"));
        assert!(!is_system_key("port") && !is_system_key("ipv"));
    }
}
