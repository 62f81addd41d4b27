//! TAP interfaces that someone has prepared for an app: they are faster than a user-mode network,
//! and the app gets the packets that were sent, not those that a helper makes of them.
//!
//! An interface is only found here and never made: one that is made has an address of this machine,
//! and an app on it reaches nothing else unless this machine forwards and translates for it. All of
//! that is for the person to decide whose machine it is.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use serde_json::Value;

use super::network::{Forward, Protocol};
use crate::{setup, tools};

/// The longest prefix of a network that has an address for the app besides that of this machine.
const LONGEST_PREFIX: u8 = 30;

/// A TAP interface that is up, in nobody's use, and has an address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Its name.
    pub name: String,
    /// This machine's address on it, and the length of the network's prefix in bits.
    ours: Ipv4Addr,
    prefix: u8,
}

impl Tap {
    /// The first one that we may use.
    pub fn prepared() -> Option<Self> {
        // Without these programs nobody has prepared anything.
        let ip = tools::find("ip")?;
        let list = tools::output(Command::new(ip).args(LIST.split(' '))).ok()?;
        let user = tools::output(Command::new("id").arg("-un")).ok()?;
        find(&list, user.trim(), setup::is_root())
    }

    /// The app's address: the next one after ours, or the one before it where there is none.
    fn app(&self) -> Ipv4Addr {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        let ours = self.ours.to_bits();
        // All ones are the broadcast address (RFC 919).
        let is_last = ours.wrapping_add(1) & hosts == hosts;
        Ipv4Addr::from_bits(if is_last { ours.wrapping_sub(1) } else { ours.wrapping_add(1) })
    }

    /// The boot arguments that tell the app so.
    pub fn boot_arguments(&self) -> [String; 2] {
        [format!("ip={}/{}", self.app(), self.prefix), format!("gateway={}", self.ours)]
    }
}

/// What `ip` is asked.
const LIST: &str = "-details -json -4 address show up type tun";

/// The first interface in the list of ip(8) that `user` may use.
fn find(list: &str, user: &str, is_root: bool) -> Option<Tap> {
    let list: Value = serde_json::from_str(list).ok()?;
    list.as_array()?.iter().find_map(|interface| {
        let about = &interface["linkinfo"]["info_data"];
        // Whoever makes one without naming an owner gives it to all (drivers/net/tun.c of Linux,
        // tun_not_capable).
        let ours = is_root
            || about["group"].is_null() && (about["user"].is_null() || about["user"] == user);
        // A carrier is there while a process has it open.
        let free = interface["flags"].as_array()?.iter().any(|flag| flag == "NO-CARRIER");
        // One with several queues is opened in another way.
        let is_tap = about["type"] == "tap" && about["multi_queue"] != true;
        let address = interface["addr_info"].as_array()?.first()?;
        let prefix = u8::try_from(address["prefixlen"].as_u64()?).ok()?;
        (is_tap && ours && free && (1..=LONGEST_PREFIX).contains(&prefix)).then_some(())?;
        let ours = address["local"].as_str()?.parse().ok()?;
        Some(Tap { name: interface["ifname"].as_str()?.to_owned(), ours, prefix })
    })
}

/// Whether boot arguments say what the first network's address is to be.
pub fn is_addressed(arguments: &[String]) -> bool {
    addresses(arguments).next().is_some()
}

/// Where the ports that an app declares for HTTP are on a TAP interface, if the boot arguments give
/// it an address.
pub fn urls(arguments: &[String], declared: &[Forward]) -> Vec<SocketAddrV4> {
    let address = addresses(arguments).find_map(|value| value.split('/').next()?.parse().ok());
    let http = declared.iter().filter(|port| port.protocol == Protocol::Http);
    address
        .map(|address: Ipv4Addr| http.map(|port| SocketAddrV4::new(address, port.guest)).collect())
        .unwrap_or_default()
}

/// What boot arguments say about the first network's address.
fn addresses(arguments: &[String]) -> impl Iterator<Item = &str> {
    words(arguments)
        .filter_map(|word| word.strip_prefix("net0.").unwrap_or(word).strip_prefix("ip="))
}

/// The words of boot arguments, as far as these are keys of the system, which need no quotes.
fn words(arguments: &[String]) -> impl Iterator<Item = &str> {
    arguments
        .iter()
        .flat_map(|argument| argument.split_whitespace())
        .map(|word| word.strip_prefix("--").unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ip(8) says of an interface, as far as it matters.
    fn interface(kind: &str, owner: &str, flag: &str, address: &str) -> String {
        let (local, prefix) = address.split_once('/').unwrap_or(("", "0"));
        let addresses = if local.is_empty() {
            String::new()
        } else {
            format!(r#"{{"local":"{local}","prefixlen":{prefix}}}"#)
        };
        format!(
            r#"[{{"ifname":"tap0","flags":["{flag}","UP"],"addr_info":[{addresses}],
               "linkinfo":{{"info_kind":"tun","info_data":{{"type":"{kind}"{owner}}}}}}}]"#
        )
    }

    const ADA: &str = r#","user":"ada""#;
    const OTHERS: &str = r#","user":"root""#;
    const QUEUES: &str = r#","multi_queue":true"#;
    const GROUP: &str = r#","user":"ada","group":"kvm""#;

    #[test]
    fn an_interface_is_used_if_it_is_free_and_ours() {
        let found = |kind, owner, flag, address| {
            find(&interface(kind, owner, flag, address), "ada", false).is_some()
        };
        let free = "NO-CARRIER";
        assert!(found("tap", ADA, free, "10.0.0.1/24") && found("tap", "", free, "10.0.0.1/24"));
        assert!(!found("tap", OTHERS, free, "10.0.0.1/24"));
        assert!(!found("tap", GROUP, free, "10.0.0.1/24"));
        assert!(!found("tap", QUEUES, free, "10.0.0.1/24"));
        assert!(!found("tap", ADA, "LOWER_UP", "10.0.0.1/24"));
        assert!(!found("tun", ADA, free, "10.0.0.1/24"));
        assert!(!found("tap", ADA, free, ""));
        assert!(!found("tap", ADA, free, "10.0.0.1/32") && !found("tap", ADA, free, "10.0.0.1/0"));
        assert!(find(&interface("tap", OTHERS, free, "10.0.0.1/24"), "root", true).is_some());
        assert!(find("no list", "ada", false).is_none() && find("[{}]", "ada", true).is_none());
    }

    #[test]
    fn the_app_gets_an_address_beside_ours() {
        let arguments = |address: &str| {
            let list = interface("tap", "", "NO-CARRIER", address);
            find(&list, "ada", false).unwrap().boot_arguments().join(" ")
        };
        assert_eq!(arguments("10.0.0.1/24"), "ip=10.0.0.2/24 gateway=10.0.0.1");
        assert_eq!(arguments("10.0.0.254/24"), "ip=10.0.0.253/24 gateway=10.0.0.254");
        assert_eq!(arguments("10.0.0.2/30"), "ip=10.0.0.1/30 gateway=10.0.0.2");
    }

    #[test]
    fn urls_are_where_the_boot_arguments_put_the_app() {
        let declared: Vec<Forward> = vec!["80/http".parse().unwrap(), "7/udp".parse().unwrap()];
        let urls = |line: &str| {
            let arguments: Vec<String> = line.split(',').map(Into::into).collect();
            let found: Vec<_> =
                urls(&arguments, &declared).iter().map(ToString::to_string).collect();
            (is_addressed(&arguments), found.join(" "))
        };
        assert_eq!(urls("ip=10.0.0.2/24,x=1"), (true, "10.0.0.2:80".into()));
        assert_eq!(urls("x=1 --ip=10.0.0.2/24"), (true, "10.0.0.2:80".into()));
        assert_eq!(urls("net0.ip=10.0.0.2/24"), (true, "10.0.0.2:80".into()));
        assert_eq!(urls("ip=dhcp"), (true, String::new()));
        assert_eq!(urls("net1.ip=10.0.0.2/24"), (false, String::new()));
        assert_eq!(urls("zip=1"), (false, String::new()));
    }
}
