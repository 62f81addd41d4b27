//! Connections that were asked for while this guest was being built.
//!
//! A recorder in dom0 sees the SYNs for an address whose guest is not there yet. It answers none,
//! and writes down what they say, in the tree that Synjitsu has published:
//!
//! ```text
//!   /ip/10-0-0-1                      "managed" from when the guest is there: no more records
//!   /ip/10-0-0-1/80                   a port
//!   /ip/10-0-0-1/80/10-0-0-2/40000    the client, its address and port
//!   /ip/10-0-0-1/80/10-0-0-2/40000/syn/…   the record (`record`)
//! ```
//!
//! The guest makes connections of the records ([`Network::adopt`]), and removes them. It writes
//! "managed" first, and listens to the tree from then on, so that a SYN that is recorded meanwhile is
//! not lost. What is in the tree is an allegation of whoever may write there; a record that cannot be
//! used is removed, with a line in the log; one that cannot be removed is not used. One for a port at
//! which nobody listens stays.

mod record;

#[cfg(feature = "fake")]
pub use record::read_lines;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{Store, StoreError, Watch, Xen};
use crate::{executor, net::Network, time};

/// What a guest writes to its address.
const MANAGED: &str = "managed";

impl Xen {
    /// Takes over the connections that were recorded for the addresses of `network`, and goes on to
    /// do so in a task of its own. To be called when everybody listens who is going to. Returns how
    /// many there were so far; none if nobody records connections here.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn take_over(&self, network: &Network) -> Result<usize, StoreError> {
        let mut count = 0;
        for (address, _) in network.addresses() {
            let IpAddr::V4(address) = address else { continue };
            let handover = Handover { store: self.store(), network: network.clone(), address };
            let watch = match handover.begin().await {
                Err(StoreError::NotFound | StoreError::Denied) => continue,
                watch => watch?,
            };
            count += handover.sweep().await?;
            let task = executor::try_spawn("handover", async move {
                let error = handover.go_on(watch).await;
                log::warn!("{address}: no more connections are taken over: {error}");
            });
            match task {
                Ok(task) => task.detach(),
                Err(error) => log::warn!("{address}: late connections are not seen: {error}"),
            }
        }
        Ok(count)
    }
}

/// The handover of an address.
struct Handover {
    store: Store,
    network: Network,
    address: Ipv4Addr,
}

/// A client, by the nodes that lead to its record.
struct Client {
    path: String,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Handover {
    /// The node of the address.
    fn path(&self) -> String {
        format!("/ip/{}", Dashed(self.address))
    }

    /// Says that the guest is there.
    async fn begin(&self) -> Result<Watch, StoreError> {
        let path = self.path();
        self.store.write(&path, MANAGED).await?;
        self.store.watch(&path).await
    }

    /// Takes over what is recorded later. Returns when XenStore fails.
    async fn go_on(&self, mut watch: Watch) -> StoreError {
        loop {
            if let Err(error) = watch.next().await {
                return error;
            }
            if let Err(error) = self.sweep().await {
                return error;
            }
        }
    }

    /// Takes over all that is recorded now. Returns how many connections that were.
    async fn sweep(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for client in self.clients().await? {
            let syn = |name: &&str| format!("{}/syn/{name}", client.path);
            let paths: Vec<String> = record::NODES.iter().map(syn).collect();
            let values = self.store.read_each(&paths).await?;
            if values.iter().all(Option::is_none) {
                // Not written yet, or removed meanwhile.
                continue;
            }
            if !self.network.has_listener(client.local.port()) {
                continue;
            }
            // First, so that one that stays there is not taken over again and again.
            match self.store.remove(&client.path).await {
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error @ StoreError::Denied) => {
                    refuse(&client, &error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let ends = (client.local, client.remote);
            match record::read(ends, &values, time::wall_clock()) {
                Ok(record) => match self.network.adopt(&record) {
                    Ok(()) => count += 1,
                    Err(error) => refuse(&client, &error),
                },
                Err(error) => refuse(&client, &error),
            }
        }
        Ok(count)
    }

    /// All that have a record.
    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let mut clients = Vec::new();
        let own = self.path();
        for port in self.below(&own).await? {
            let Some(local) = number(&port) else { continue };
            let local = SocketAddr::new(self.address.into(), local);
            let path = format!("{own}/{port}");
            for host in self.below(&path).await? {
                let Some(address) = undashed(&host) else { continue };
                let path = format!("{path}/{host}");
                for port in self.below(&path).await? {
                    let Some(remote) = number(&port) else { continue };
                    let remote = SocketAddr::new(address.into(), remote);
                    clients.push(Client { path: format!("{path}/{port}"), local, remote });
                }
            }
        }
        Ok(clients)
    }

    /// The nodes below one that may be gone by now.
    async fn below(&self, path: &str) -> Result<Vec<String>, StoreError> {
        match self.store.directory(path).await {
            Err(StoreError::NotFound | StoreError::Denied) => Ok(Vec::new()),
            names => names,
        }
    }
}

fn refuse(client: &Client, error: &dyn fmt::Display) {
    let Client { local, remote, .. } = client;
    log::warn!("the connection of {remote} to {local} is not taken over: {error}");
}

/// An address as the name of a node.
struct Dashed(Ipv4Addr);

impl fmt::Display for Dashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace('.', "-"))
    }
}

/// The port that a node is named after. Every port has one name.
fn number(name: &str) -> Option<u16> {
    name.parse().ok().filter(|port: &u16| port.to_string() == name)
}

/// The address that a node is named after.
fn undashed(name: &str) -> Option<Ipv4Addr> {
    if name.contains('.') {
        return None;
    }
    name.replace('-', ".").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_names_of_nodes() {
        let address = Ipv4Addr::new(192, 168, 2, 140);
        assert_eq!(Dashed(address).to_string(), "192-168-2-140");
        assert_eq!(undashed("192-168-2-140"), Some(address));
        for name in ["192.168.2.140", "192-168-2", "192-168-2-256", "", "-", "1-2-3-4-5"] {
            assert_eq!(undashed(name), None, "{name}");
        }
    }

    #[test]
    fn a_port_has_one_name() {
        assert_eq!((number("80"), number("65535"), number("0")), (Some(80), Some(65_535), Some(0)));
        for name in ["080", "+80", "65536", "-1", "", "x"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
