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
            let changed = match watch.next().await {
                Ok(changed) => changed,
                Err(error) => return error,
            };
            // Whoever writes one record must not have all of them read again.
            let result = match self.client(&changed) {
                Some(client) => self.take(&client).await.map(drop),
                None if changed == self.path() => self.sweep().await.map(drop),
                None => Ok(()),
            };
            if let Err(error) = result {
                return error;
            }
        }
    }

    /// Takes over all that is recorded now. Returns how many connections that were.
    async fn sweep(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for client in self.clients().await? {
            count += usize::from(self.take(&client).await?);
        }
        Ok(count)
    }

    /// Takes over the connection of a client, if it has a record. Returns whether it did.
    async fn take(&self, client: &Client) -> Result<bool, StoreError> {
        let syn = |name: &&str| format!("{}/syn/{name}", client.path);
        let paths: Vec<String> = record::NODES.iter().map(syn).collect();
        let values = self.store.read_each(&paths).await?;
        // Not written yet, or removed meanwhile; or for somebody who does not listen yet.
        if values.iter().all(Option::is_none) || !self.network.has_listener(client.local.port()) {
            return Ok(false);
        }
        // First, so that one that stays there is not taken over again and again.
        match self.store.remove(&client.path).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error @ StoreError::Denied) => {
                refuse(client, &error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let record = record::read((client.local, client.remote), &values, time::wall_clock());
        match record.map(|record| self.network.adopt(&record)) {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(error)) => refuse(client, &error),
            Err(error) => refuse(client, &error),
        }
        Ok(false)
    }

    /// All that have a record.
    async fn clients(&self) -> Result<Vec<Client>, StoreError> {
        let mut clients = Vec::new();
        let own = self.path();
        for port in self.below(&own).await? {
            let path = format!("{own}/{port}");
            for host in self.below(&path).await? {
                let path = format!("{path}/{host}");
                let ports = self.below(&path).await?;
                clients
                    .extend(ports.iter().filter_map(|port| self.client(&format!("{path}/{port}"))));
            }
        }
        Ok(clients)
    }

    /// The client whose node this is, or one below that.
    fn client(&self, path: &str) -> Option<Client> {
        let own = self.path();
        let mut names = path.strip_prefix(&own)?.strip_prefix('/')?.split('/');
        let (port, host, remote) = (names.next()?, names.next()?, names.next()?);
        Some(Client {
            path: format!("{own}/{port}/{host}/{remote}"),
            local: SocketAddr::new(self.address.into(), number(port)?),
            remote: SocketAddr::new(undashed(host)?.into(), number(remote)?),
        })
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
