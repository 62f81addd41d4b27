//! vchan by name: Conduit, as ocaml-conduit has it.
//!
//! ```no_run
//! # async fn example(machine: mayfly::Machine) -> mayfly::Result {
//! let xen = machine.xen().ok_or("this app needs Xen")?;
//! let conduit = xen.conduit("web").await?;
//! let mut stream = conduit.connect("database.xen", "sql").await?;
//! stream.write_all(b"SELECT 1;").await?;
//!
//! let mut requests = conduit.listen().await?;
//! loop {
//!     let request = requests.next().await?;
//!     mayfly::println!("{} wants {}", request.client(), request.port());
//!     mayfly::spawn(async move {
//!         let stream = request.accept().await;
//!         // …
//! #       drop(stream);
//!     })
//!     .detach();
//! }
//! # }
//! ```

use alloc::rc::Rc;

use mayfly_xen::{
    conduit,
    vchan::{RingSizes, Vchan, VchanError},
};

pub use mayfly_xen::conduit::ConduitError;

use super::{Xen, vchan::watched};

impl Xen {
    /// Registers `name` for this guest, as long as this is kept: letters, digits, `-` and `_`. Whoever
    /// had the name before has it no more.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn conduit(&self, name: &str) -> Result<Conduit, ConduitError> {
        let sharing = mayfly_xen::sharing().ok_or(VchanError::OutOfMemory)?;
        let conduit = conduit::Conduit::register(&self.store, sharing, name).await?;
        Ok(Conduit(Rc::new(conduit)))
    }
}

/// A name of this guest; see [`Xen::conduit`]. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Conduit(Rc<conduit::Conduit>);

impl Conduit {
    /// The number of the domain that is called `name`, which may end with `.xen`.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn resolve(&self, name: &str) -> Result<u16, ConduitError> {
        Ok(self.0.resolve(name).await?.0)
    }

    /// Connects to `port` of who is called `name`, which may end with `.xen`, as soon as that listens.
    /// Connections with the same one are made one after the other.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn connect(&self, name: &str, port: &str) -> Result<Vchan, ConduitError> {
        let (vchan, lookout) = self.0.connect(name, port).await?;
        Ok(watched(vchan, lookout)?)
    }

    /// Begins to listen for who wants to connect.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn listen(&self) -> Result<ConduitRequests<'_>, ConduitError> {
        Ok(ConduitRequests(self.0.listen().await?))
    }
}

/// Those who want to connect; see [`Conduit::listen`].
#[derive(Debug)]
pub struct ConduitRequests<'a>(conduit::Requests<'a>);

impl ConduitRequests<'_> {
    /// The next one who wants to connect, as soon as there is one.
    ///
    /// # Errors
    /// [`ConduitError`]
    pub async fn next(&mut self) -> Result<ConduitRequest, ConduitError> {
        Ok(ConduitRequest(self.0.next().await?))
    }
}

/// Somebody who wants to connect. Dropped, this comes to nothing.
#[derive(Debug)]
pub struct ConduitRequest(conduit::Request);

impl ConduitRequest {
    /// What the client is called. It says so itself.
    pub fn client(&self) -> &str {
        self.0.client()
    }

    /// Its domain.
    pub fn domain(&self) -> u16 {
        self.0.domain().0
    }

    /// The port that it wants to connect to.
    pub fn port(&self) -> &str {
        self.0.port()
    }

    /// Connects. Waits until the client does its part, which may be never: use a
    /// [`timeout`](crate::time::timeout), and another task than the one that waits for the next.
    ///
    /// # Errors
    /// [`ConduitError`], with [`VchanError::Gone`] if one of the two is in another domain before that.
    pub async fn accept(self) -> Result<Vchan, ConduitError> {
        let (vchan, lookout) = self.0.accept(RingSizes::default()).await?;
        Ok(watched(vchan, lookout)?)
    }
}
