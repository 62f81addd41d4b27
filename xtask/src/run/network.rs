//! How a guest is connected, and which ports of this machine lead to it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How a guest is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// No network at all.
    None,
    /// QEMU's user-mode network, which needs no privilege: the guest gets an address by DHCP,
    /// reaches what this machine reaches, and is reached through these ports.
    User(Vec<Forward>),
    /// The same, but the guest reaches nobody: it only answers those who come by these ports.
    Closed(Vec<Forward>),
    /// A TAP interface that exists already.
    Tap(String),
}

impl Network {
    /// Values for QEMU's `-netdev` and `-device`.
    pub fn qemu_arguments(&self, transport: &str) -> Option<(String, String)> {
        let backend = match self {
            Self::None => return None,
            Self::User(forwards) => user("user,id=net0", forwards),
            Self::Closed(forwards) => user("user,id=net0,restrict=on", forwards),
            Self::Tap(interface) => {
                format!("tap,id=net0,ifname={interface},script=no,downscript=no")
            }
        };
        Some((backend, format!("virtio-net-{transport},netdev=net0")))
    }

    /// The ports that lead to the guest.
    pub fn forwards(&self) -> &[Forward] {
        match self {
            Self::User(forwards) | Self::Closed(forwards) => forwards,
            Self::None | Self::Tap(_) => &[],
        }
    }

    /// Where on this machine the ports for HTTP are that lead to the guest.
    pub fn urls(&self) -> Vec<SocketAddrV4> {
        let http = self.forwards().iter().filter(|forward| forward.protocol == Protocol::Http);
        http.map(|forward| SocketAddrV4::new(Ipv4Addr::LOCALHOST, forward.host)).collect()
    }
}

/// The user-mode network called `name`, with the ports that lead to the guest.
fn user(name: &str, forwards: &[Forward]) -> String {
    forwards.iter().fold(name.to_owned(), |line, forward| {
        let protocol = forward.protocol.transport();
        let Forward { host, guest, .. } = forward;
        format!("{line},hostfwd={protocol}:127.0.0.1:{host}-:{guest}")
    })
}

/// Fails if there is no network interface of this name: as root, QEMU would make one, which nothing
/// is connected to and which goes again with the guest.
///
/// # Errors
/// If there is none, or it cannot be told.
pub fn ensure_interface(name: &str) -> Result<()> {
    let list = std::fs::read_to_string("/proc/self/net/dev").context("cannot list interfaces")?;
    ensure!(
        has_interface(&list, name),
        "there is no interface `{name}`; `sudo ip tuntap add {name} mode tap user $USER` makes one"
    );
    Ok(())
}

/// Whether an interface is in the list that Linux gives (proc(5), `/proc/net/dev`).
fn has_interface(list: &str, name: &str) -> bool {
    list.lines().filter_map(|line| line.split_once(':')).any(|(other, _)| other.trim() == name)
}

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Something on TCP.
    Tcp,
    /// Something on UDP.
    Udp,
    /// HTTP on TCP: the port has a URL.
    Http,
}

impl Protocol {
    /// What carries it, as QEMU names it.
    pub fn transport(self) -> &'static str {
        match self {
            Self::Tcp | Self::Http => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl FromStr for Protocol {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "http" => Ok(Self::Http),
            _ => bail!("`{text}` is no protocol of a port: tcp, udp or http"),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
        })
    }
}

/// A port of this machine that leads to a port of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Port on the loopback address of this machine.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
    /// What is spoken.
    pub protocol: Protocol,
}

impl Forward {
    /// A TCP port.
    #[cfg(test)]
    pub fn tcp(host: u16, guest: u16) -> Self {
        Self { host, guest, protocol: Protocol::Tcp }
    }
}

/// What `--port` takes: `HOST:GUEST` or `GUEST`, and a protocol after a slash.
impl FromStr for Forward {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = protocol.parse()?;
        let number = |port: &str| {
            port.parse().with_context(|| format!("`{port}` in `{text}` is no port number"))
        };
        let (host, guest) = match ports.split_once(':') {
            Some((host, guest)) => (number(host)?, number(guest)?),
            None => (0, number(ports)?),
        };
        Ok(Self { host, guest, protocol })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, guest, protocol } = self;
        match protocol {
            Protocol::Http => write!(f, "http://127.0.0.1:{host}/"),
            _ => write!(f, "127.0.0.1:{host} to {protocol} port {guest} of the guest"),
        }
    }
}

/// The ports that an app says it serves, in its Cargo.toml:
///
/// ```toml
/// [package.metadata.mayfly]
/// ports = ["80/http", "7/udp"]
/// ```
pub fn declared(metadata: &Value) -> Result<Vec<Forward>> {
    let Some(ports) = metadata.get("ports") else { return Ok(Vec::new()) };
    let error = "[package.metadata.mayfly] ports must be a list like [\"80/http\", \"7/udp\"]";
    let ports = ports.as_array().context(error)?;
    ports.iter().map(|port| port.as_str().context(error)?.parse().context(error)).collect()
}

/// The `wanted` ports and the `declared` ones: those that are both only once, where they are wanted,
/// and spoken to as the app says.
pub fn with_declared(wanted: &[Forward], declared: &[Forward]) -> Vec<Forward> {
    let mut all = wanted.to_vec();
    for &port in declared {
        let is_it = |other: &&mut Forward| {
            other.guest == port.guest && other.protocol.transport() == port.protocol.transport()
        };
        let mut moved = false;
        for other in all.iter_mut().take(wanted.len()).filter(is_it) {
            (other.protocol, moved) = (port.protocol, true);
        }
        if !moved {
            all.push(port);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_people_write_them() {
        let forward = |host, guest, protocol| Forward { host, guest, protocol };
        assert_eq!("8080:80".parse::<Forward>().unwrap(), forward(8080, 80, Protocol::Tcp));
        assert_eq!("7/udp".parse::<Forward>().unwrap(), forward(0, 7, Protocol::Udp));
        for wrong in ["", "x", "80/sctp", "1:2:3", "70000"] {
            assert!(wrong.parse::<Forward>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_declared_port_is_moved_by_number_and_transport() {
        let forwards = |texts: &[&str]| -> Vec<Forward> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = |wanted, app| with_declared(&forwards(wanted), &forwards(app));
        assert_eq!(all(&["24601:80"], &["80/http"]), forwards(&["24601:80/http"]));
        assert_eq!(all(&["9000:7/udp"], &["7/tcp"]), forwards(&["9000:7/udp", "7/tcp"]));
        assert_eq!(all(&["22"], &["80/http"]), forwards(&["22", "80/http"]));
        assert_eq!(all(&[], &["7/tcp", "7/udp"]), forwards(&["7/tcp", "7/udp"]));
    }

    #[test]
    fn interfaces_are_known_by_their_whole_name() {
        let list = "Inter-|   Receive\n face |bytes\n    lo: 1 2\n  tap0: 0 0\n";
        assert!(has_interface(list, "lo") && has_interface(list, "tap0"));
        assert!(!has_interface(list, "tap") && !has_interface(list, "face"));
        assert!(ensure_interface("lo").is_ok());
    }

    #[test]
    fn ports_are_declared_in_the_manifest() {
        let metadata = serde_json::json!({ "ports": ["7/tcp", "80/http"] });
        let ports: Vec<u16> = declared(&metadata).unwrap().iter().map(|port| port.guest).collect();
        assert_eq!(ports, [7, 80]);
        assert!(declared(&serde_json::json!({ "ports": 80 })).is_err());
        assert!(declared(&Value::Null).unwrap().is_empty());
    }
}
