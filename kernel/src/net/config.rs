//! How a network gets its addresses, from boot arguments.
//!
//! | argument | meaning |
//! |---|---|
//! | `ip=dhcp` | ask a DHCP server; what happens without any argument |
//! | `ip=10.0.0.2/24` | this address and prefix length |
//! | `ip=off` | no IPv4 |
//! | `gateway=10.0.0.1` | where packets for other networks go, with a static address |
//! | `dns=10.0.0.3,fd00::3` | name servers; these come before those that DHCP names |
//! | `ip6=auto` | addresses from router advertisements; what happens without any argument |
//! | `ip6=static` | none from these |
//! | `ip6=fd00::2/64` | this address as well; may be given several times |
//! | `ip6=off` | no IPv6 |
//! | `gateway6=fd00::1` | where IPv6 packets for other networks go |
//!
//! A key without a number is about the first network; `net1.ip=` is about the second, and so on.

use alloc::vec::Vec;
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::config::pairs;

/// Where the IPv4 address comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ipv4Config {
    /// There is none.
    Off,
    /// A DHCP server assigns it.
    #[default]
    Dhcp,
    /// It is fixed.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Length of the prefix that names the link's network, in bits.
        prefix: u8,
        /// The router to other networks.
        gateway: Option<Ipv4Addr>,
    },
}

/// Where IPv6 addresses come from. There is always a link-local one, unless IPv6 is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6Config {
    /// Whether IPv6 is spoken at all.
    pub enabled: bool,
    /// Whether router advertisements (RFC 4862) add addresses and routers.
    pub autoconfigure: bool,
    /// Fixed addresses and their prefix lengths in bits; at most four.
    pub addresses: Vec<(Ipv6Addr, u8)>,
    /// The router to other networks.
    pub gateway: Option<Ipv6Addr>,
}

impl Default for Ipv6Config {
    fn default() -> Self {
        Self { enabled: true, autoconfigure: true, addresses: Vec::new(), gateway: None }
    }
}

/// How a network gets its addresses. The default is DHCP for IPv4 and router advertisements for
/// IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetConfig {
    /// IPv4.
    pub ipv4: Ipv4Config,
    /// IPv6.
    pub ipv6: Ipv6Config,
    /// Name servers to ask first.
    pub name_servers: Vec<IpAddr>,
    /// A random number from which sequence numbers, ports and transaction numbers come; 0 takes
    /// one from the kernel's generator. Two boots must not have the same, and nobody outside may
    /// know it.
    pub seed: u64,
}

/// Fixed IPv6 addresses of one network.
const MAX_STATIC_IPV6: usize = 4;

impl NetConfig {
    /// A fixed IPv4 address, and what belongs to IPv6 by default.
    pub fn with_static_ipv4(address: Ipv4Addr, prefix: u8, gateway: Option<Ipv4Addr>) -> Self {
        Self { ipv4: Ipv4Config::Static { address, prefix, gateway }, ..Self::default() }
    }

    /// The configuration of network number `index` in a command line, whose words are those of
    /// [`pairs`]. Words that are about something else are passed over.
    ///
    /// # Errors
    /// The first argument about this network whose value makes no sense.
    pub fn from_arguments(arguments: &str, index: usize) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (key, value) in pairs(arguments) {
            config.apply(key, value, index)?;
        }
        config.check()
    }

    /// Applies one argument, if it is about network number `index`. Returns whether it was.
    ///
    /// # Errors
    /// If the value makes no sense.
    pub fn apply(&mut self, key: &str, value: &str, index: usize) -> Result<bool, ConfigError> {
        let key = match key.strip_prefix("net").and_then(|rest| rest.split_once('.')) {
            Some((number, key)) if number.parse() == Ok(index) => key,
            Some(_) => return Ok(false),
            None if index == 0 => key,
            None => return Ok(false),
        };
        match key {
            "ip" => self.set_ipv4(value)?,
            "ip6" => self.set_ipv6(value)?,
            "gateway" => {
                let gateway = value.parse().map_err(|_| ConfigError::Gateway)?;
                self.set_gateway(gateway);
            }
            "gateway6" => {
                self.ipv6.gateway = Some(value.parse().map_err(|_| ConfigError::Gateway6)?);
            }
            "dns" => {
                self.name_servers = parse_list(value).ok_or(ConfigError::NameServer)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set_ipv4(&mut self, value: &str) -> Result<(), ConfigError> {
        let gateway = self.static_gateway();
        self.ipv4 = match value {
            "off" | "none" => Ipv4Config::Off,
            "dhcp" => Ipv4Config::Dhcp,
            _ => {
                let (address, prefix) = parse_cidr(value, 32).ok_or(ConfigError::Address)?;
                Ipv4Config::Static { address, prefix, gateway }
            }
        };
        Ok(())
    }

    fn set_ipv6(&mut self, value: &str) -> Result<(), ConfigError> {
        match value {
            "off" | "none" => self.ipv6.enabled = false,
            "auto" => self.ipv6.autoconfigure = true,
            "static" => self.ipv6.autoconfigure = false,
            _ => {
                let address = parse_cidr(value, 128).ok_or(ConfigError::Address6)?;
                if self.ipv6.addresses.len() >= MAX_STATIC_IPV6 {
                    return Err(ConfigError::TooMany);
                }
                self.ipv6.addresses.push(address);
            }
        }
        Ok(())
    }

    fn static_gateway(&self) -> Option<Ipv4Addr> {
        match self.ipv4 {
            Ipv4Config::Static { gateway, .. } => gateway,
            _ => None,
        }
    }

    /// A gateway may be named before the address.
    fn set_gateway(&mut self, router: Ipv4Addr) {
        match &mut self.ipv4 {
            Ipv4Config::Static { gateway, .. } => *gateway = Some(router),
            other => {
                let (address, prefix) = (Ipv4Addr::UNSPECIFIED, 0);
                *other = Ipv4Config::Static { address, prefix, gateway: Some(router) };
            }
        }
    }

    /// Checks what single arguments cannot show.
    ///
    /// # Errors
    /// If an address is not that of a single host, or is missing.
    pub fn check(self) -> Result<Self, ConfigError> {
        if let Ipv4Config::Static { address, prefix, gateway } = self.ipv4 {
            // What a gateway without an address leaves, see `set_gateway`.
            if prefix == 0 && address.is_unspecified() && gateway.is_some() {
                return Err(ConfigError::LoneGateway);
            }
            if !is_host_v4(address) || prefix > 32 {
                return Err(ConfigError::Address);
            }
            if gateway.is_some_and(|gateway| !is_host_v4(gateway)) {
                return Err(ConfigError::Gateway);
            }
        }
        let bad = |&(address, prefix): &(Ipv6Addr, u8)| !is_host_v6(address) || prefix > 128;
        if self.ipv6.addresses.iter().any(bad) {
            return Err(ConfigError::Address6);
        }
        if self.ipv6.addresses.len() > MAX_STATIC_IPV6 {
            return Err(ConfigError::TooMany);
        }
        if self.ipv6.gateway.is_some_and(|gateway| !is_host_v6(gateway)) {
            return Err(ConfigError::Gateway6);
        }
        Ok(self)
    }
}

/// Whether the address can be that of one host.
pub(super) fn is_host_v4(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback())
}

/// Whether the address can be that of one host.
pub(super) fn is_host_v6(address: Ipv6Addr) -> bool {
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback())
}

fn parse_cidr<T: core::str::FromStr>(text: &str, max: u8) -> Option<(T, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= max)?;
    Some((address.parse().ok()?, prefix))
}

fn parse_list(text: &str) -> Option<Vec<IpAddr>> {
    text.split(',').map(|word| word.parse().ok()).collect()
}

/// A boot argument about the network that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The value of `ip=`.
    Address,
    /// The value of `ip6=`.
    Address6,
    /// The value of `gateway=`.
    Gateway,
    /// There is `gateway=`, but no fixed address, or one that is found otherwise.
    LoneGateway,
    /// The value of `gateway6=`.
    Gateway6,
    /// The value of `dns=`.
    NameServer,
    /// More fixed IPv6 addresses than a network takes.
    TooMany,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "ip= wants an address with prefix length (10.0.0.2/24), dhcp or off",
            Self::Address6 => "ip6= wants an address with prefix length (fd00::2/64), auto, static or off",
            Self::Gateway => "gateway= wants the IPv4 address of a router",
            Self::LoneGateway => {
                "gateway= goes with a fixed address: give ip= one (10.0.0.2/24), or leave gateway= out"
            }
            Self::Gateway6 => "gateway6= wants the IPv6 address of a router",
            Self::NameServer => "dns= wants addresses, separated by commas",
            Self::TooMany => "ip6= takes at most four fixed addresses",
        })
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_means_dhcp_and_advertisements() {
        let config = NetConfig::from_arguments("quiet log=debug", 0).unwrap();
        assert_eq!(config, NetConfig::default());
        assert_eq!(config.ipv4, Ipv4Config::Dhcp);
        assert!(config.ipv6.enabled && config.ipv6.autoconfigure);
    }

    #[test]
    fn static_addresses_in_any_order() {
        let expected = Ipv4Config::Static {
            address: Ipv4Addr::new(10, 0, 0, 2),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
        };
        for text in [
            "ip=10.0.0.2/24 gateway=10.0.0.1 dns=10.0.0.3,fd00::3 ip6=fd00::2/64 gateway6=fd00::1",
            "gateway6=fd00::1 gateway=10.0.0.1 ip=10.0.0.2/24 ip6=fd00::2/64 dns=10.0.0.3,fd00::3",
        ] {
            let config = NetConfig::from_arguments(text, 0).unwrap();
            assert_eq!(config.ipv4, expected);
            assert_eq!(config.ipv6.addresses, [("fd00::2".parse().unwrap(), 64)]);
            assert_eq!(config.ipv6.gateway, Some("fd00::1".parse().unwrap()));
            assert_eq!(config.name_servers.len(), 2);
        }
    }

    #[test]
    fn each_network_has_its_own() {
        let text = "ip=10.0.0.2/24 net1.ip=10.1.0.2/16 net1.ip6=off";
        let first = NetConfig::from_arguments(text, 0).unwrap();
        let second = NetConfig::from_arguments(text, 1).unwrap();
        let third = NetConfig::from_arguments(text, 2).unwrap();
        assert!(matches!(first.ipv4, Ipv4Config::Static { prefix: 24, .. }));
        assert!(matches!(second.ipv4, Ipv4Config::Static { prefix: 16, .. }));
        assert!(first.ipv6.enabled && !second.ipv6.enabled);
        assert_eq!(third, NetConfig::default());
    }

    #[test]
    fn words_are_those_of_all_boot_arguments() {
        let text = "--ip=10.0.0.2/24 net1.ip='10.1.0.2/16' \"--dns=10.0.0.3\" name='a ip=off b'";
        let first = NetConfig::from_arguments(text, 0).unwrap();
        let second = NetConfig::from_arguments(text, 1).unwrap();
        assert!(matches!(first.ipv4, Ipv4Config::Static { prefix: 24, .. }));
        assert!(matches!(second.ipv4, Ipv4Config::Static { prefix: 16, .. }));
        assert_eq!(first.name_servers, [IpAddr::from([10, 0, 0, 3])]);
    }

    #[test]
    fn nonsense_is_named() {
        for (text, error) in [
            ("ip=10.0.0.2", ConfigError::Address),
            ("ip=10.0.0.2/33", ConfigError::Address),
            ("ip=255.255.255.255/8", ConfigError::Address),
            ("ip=224.0.0.1/8", ConfigError::Address),
            ("gateway=10.0.0.1", ConfigError::LoneGateway),
            ("ip=dhcp gateway=10.0.0.1", ConfigError::LoneGateway),
            ("ip=10.0.0.2/24 gateway=::1", ConfigError::Gateway),
            ("ip6=ff02::1/64", ConfigError::Address6),
            ("ip6=fd00::2/129", ConfigError::Address6),
            ("gateway6=10.0.0.1", ConfigError::Gateway6),
            ("dns=one.one.one.one", ConfigError::NameServer),
            (
                "ip6=fd00::2/64 ip6=fd00::3/64 ip6=fd00::4/64 ip6=fd00::5/64 ip6=fd00::6/64",
                ConfigError::TooMany,
            ),
        ] {
            assert_eq!(NetConfig::from_arguments(text, 0), Err(error), "{text}");
        }
    }
}
