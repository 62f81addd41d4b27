//! Conduit: vchan by name, as ocaml-conduit has it.
//!
//! dom0 has made a directory of XenStore in which every domain may make nodes. What is there:
//!
//! ```text
//!   /conduit/NAME = DOMAIN                who is called that
//!   /conduit/SERVER/CLIENT/PORT = PORT    CLIENT wants to connect to PORT of SERVER
//! ```
//!
//! A client looks up the server's domain, writes such a request, and becomes a vchan client. The
//! server, which watches its directory, looks up the client's domain, removes the request, and becomes
//! a vchan server for that domain and port.
//!
//! Nothing there is proved: any domain may write any name. What is certain is only that the other side
//! of a channel is the domain that its name led to.

mod moved;
mod turns;

use alloc::{
    boxed::Box,
    collections::VecDeque,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{cell::Cell, fmt};

use mayfly_device::Boxed;

use self::{moved::unless_moved, turns::Turns};
use crate::{
    Sharing,
    grants::DomainId,
    incarnation::Incarnation,
    store::{Store, StoreError, Watch},
    vchan::{self, Listener, Lookout, RingSizes, Vchan, VchanError},
};

/// Where all names are.
const DIRECTORY: &str = "/conduit";
/// What a name may end with where those of other networks are written, too.
const SUFFIX: &str = ".xen";

/// Why nothing is found or connected by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConduitError {
    /// dom0 has not made the directory, or not for everybody.
    NotThere,
    /// Nobody is called that.
    Unknown,
    /// XenStore does not do its part.
    Store(StoreError),
    /// The channel does not come to be; [`VchanError::Name`] is about names of domains, too.
    Vchan(VchanError),
}

impl fmt::Display for ConduitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThere => {
                "there is no /conduit in XenStore for this guest; in dom0: \
                 xenstore-write /conduit '' && xenstore-chmod /conduit b0"
            }
            Self::Unknown => "no domain has registered this name",
            Self::Store(error) => return error.fmt(f),
            Self::Vchan(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for ConduitError {}

impl From<StoreError> for ConduitError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<VchanError> for ConduitError {
    fn from(error: VchanError) -> Self {
        Self::Vchan(error)
    }
}

/// A name that this guest has registered, until this is dropped.
pub struct Conduit {
    store: Store,
    sharing: Sharing,
    name: String,
    /// When it was registered.
    registered: Cell<Option<Incarnation>>,
    turns: Turns,
}

impl Conduit {
    /// Registers `name`: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn register(
        store: &Store,
        sharing: Sharing,
        name: &str,
    ) -> Result<Self, ConduitError> {
        vchan::check_name(name)?;
        let (name, registered, turns) = (name.to_string(), Cell::new(None), Turns::default());
        let conduit = Self { store: store.clone(), sharing, name, registered, turns };
        conduit.write_name().await?;
        Ok(conduit)
    }

    /// Registers the name, or registers it again: in another domain this guest has another number.
    async fn write_name(&self) -> Result<(), ConduitError> {
        let now = Incarnation::current();
        if self.registered.get() == Some(now) {
            return Ok(());
        }
        let own: u16 = self.store.read_number("domid").await?;
        let path = format!("{DIRECTORY}/{}", self.name);
        match self.store.write(&path, own.to_string()).await {
            // Without this, a guest that may not make nodes there gets the same error.
            Err(StoreError::Denied | StoreError::NotFound) => Err(ConduitError::NotThere),
            written => {
                written?;
                self.registered.set(Some(now));
                Ok(())
            }
        }
    }

    /// The domain that is called `name`, which may end with `.xen`.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn resolve(&self, name: &str) -> Result<DomainId, ConduitError> {
        resolve(&self.store, name).await
    }

    /// Connects to `port` of who is called `name`, which may end with `.xen`, as soon as that listens.
    /// Who connects to the same one meanwhile waits for that. If this guest or the other one is in
    /// another domain before that, it asks anew.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn connect(&self, name: &str, port: &str) -> Result<(Vchan, Lookout), ConduitError> {
        vchan::check_name(port)?;
        let name = name.strip_suffix(SUFFIX).unwrap_or(name);
        let _turn = self.turns.take(name).await;
        loop {
            let here = self.connect_here(name, port);
            if let Some(connected) = Incarnation::current().run(here).await
                && let Some(connected) = connected?
            {
                return Ok(connected);
            }
        }
    }

    /// Connects as long as both are in the domains in which they are. `None` if the other one is not.
    async fn connect_here(
        &self,
        name: &str,
        port: &str,
    ) -> Result<Option<(Vchan, Lookout)>, ConduitError> {
        self.write_name().await?;
        let server = self.resolve(name).await?;
        let path = format!("{DIRECTORY}/{name}/{}/{port}", self.name);
        let mut asked = Asked { store: &self.store, path, is_heard: false };
        self.store.write(&asked.path, port).await?;
        let connecting = vchan::connect(&self.store, self.sharing, server, port);
        let connected = unless_moved(&self.store, name, server, connecting).await?;
        let Some(connected) = connected.transpose()? else { return Ok(None) };
        asked.is_heard = true;
        Ok(Some(connected))
    }

    /// Begins to listen for who wants to connect to this guest's name.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn listen(&self) -> Result<Requests<'_>, ConduitError> {
        let directory = format!("{DIRECTORY}/{}", self.name);
        let watch = self.store.watch(&directory).await?;
        Ok(Requests { conduit: self, directory, watch, taking: None, taken: VecDeque::new() })
    }
}

/// A request to be connected, which is taken back when this is dropped before it was heard.
struct Asked<'a> {
    store: &'a Store,
    path: String,
    is_heard: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_heard {
            self.store.discard(&self.path);
        }
    }
}

async fn resolve(store: &Store, name: &str) -> Result<DomainId, ConduitError> {
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    vchan::check_name(name)?;
    match store.read_number(&format!("{DIRECTORY}/{name}")).await {
        Ok(domain) => Ok(DomainId(domain)),
        Err(StoreError::NotFound | StoreError::Denied | StoreError::Invalid) => {
            Err(ConduitError::Unknown)
        }
        Err(error) => Err(error.into()),
    }
}

impl Drop for Conduit {
    fn drop(&mut self) {
        if self.registered.get().is_none() {
            return;
        }
        self.store.discard(&format!("{DIRECTORY}/{}", self.name));
    }
}

impl fmt::Debug for Conduit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conduit({})", self.name)
    }
}

/// Those who want to connect.
pub struct Requests<'a> {
    conduit: &'a Conduit,
    directory: String,
    watch: Watch,
    /// What takes the requests of a client, which are nowhere else any more when it is half way.
    taking: Option<Boxed<'a, Vec<Request>>>,
    /// Those that came together with others, and were not asked for.
    taken: VecDeque<Request>,
}

impl<'a> Requests<'a> {
    /// The next one who wants to connect, as soon as there is one. Requests that make no sense, or
    /// that this guest may not remove, are passed over.
    ///
    /// Dropped, this loses nothing: the next call goes on.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn next(&mut self) -> Result<Request, ConduitError> {
        let store = &self.conduit.store;
        loop {
            self.finish().await;
            if let Some(request) = self.taken.pop_front() {
                return Ok(request);
            }
            self.conduit.write_name().await?;
            let clients = match store.directory(&self.directory).await {
                Ok(clients) => clients,
                // It is gone with its name.
                Err(StoreError::NotFound) => return Err(ConduitError::Unknown),
                Err(error) => return Err(error.into()),
            };
            for client in clients {
                let path = format!("{}/{client}", self.directory);
                self.taking = Some(Box::pin(self.conduit.take(path, client)));
                self.finish().await;
            }
            if self.taken.is_empty() {
                self.watch.next().await?;
            }
        }
    }

    /// Takes what is being taken, if there is something.
    async fn finish(&mut self) {
        if let Some(taking) = &mut self.taking {
            self.taken.extend(taking.await);
            self.taking = None;
        }
    }
}

impl fmt::Debug for Requests<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requests({})", self.directory)
    }
}

impl Conduit {
    /// Removes what a client asks for at this path: more than one thing, if it asks for several at
    /// once.
    async fn take(&self, path: String, client: String) -> Vec<Request> {
        let (store, sharing) = (&self.store, self.sharing);
        let taken = Incarnation::current();
        // All at once: what comes after that is there the next time.
        let ports = store.transaction(async |transaction| {
            let ports = transaction.directory(&path).await?;
            // The request is not complete before there is a port.
            if !ports.is_empty() {
                transaction.remove(&path).await?;
            }
            Ok(ports)
        });
        let ports = ports.await.unwrap_or_default();
        if ports.is_empty() {
            return Vec::new();
        }
        let domain = resolve(store, &client).await;
        let mut requests = Vec::new();
        for port in ports {
            if let (Ok(domain), Ok(())) = (domain, vchan::check_name(&port)) {
                let (store, client) = (store.clone(), client.clone());
                requests.push(Request { store, sharing, client, domain, port, taken });
            } else {
                log::warn!("{path}: it asks for no port, or is not registered");
            }
        }
        requests
    }
}

/// Somebody who wants to connect. Dropped, this comes to nothing.
pub struct Request {
    store: Store,
    sharing: Sharing,
    client: String,
    domain: DomainId,
    port: String,
    /// When it was.
    taken: Incarnation,
}

impl Request {
    /// What the client is called.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Its domain.
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// The port that it wants to connect to.
    pub fn port(&self) -> &str {
        &self.port
    }

    /// Makes the channel, and waits until the client has it. A [`RingSizes`] says how large it is.
    ///
    /// # Errors
    /// [`ConduitError`]; with [`VchanError::Gone`] if this guest or the client is in another domain
    /// before that. The client asks again then, if it is one of Mayfly's.
    pub async fn accept(self, sizes: RingSizes) -> Result<(Vchan, Lookout), ConduitError> {
        let Self { store, sharing, client, domain, port, taken } = self;
        let accepted = taken.run(async {
            let mut listener = Listener::bind(&store, sharing, domain, &port, sizes).await?;
            let accepted = unless_moved(&store, &client, domain, listener.accept()).await?;
            accepted.unwrap_or(Err(VchanError::Gone))
        });
        Ok(accepted.await.unwrap_or(Err(VchanError::Gone))?)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} of {:?}, {})", self.client, self.domain, self.port)
    }
}

#[cfg(test)]
mod tests;
