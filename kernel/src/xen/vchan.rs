//! Streams of bytes between this guest and another domain, dom0 for instance: vchan.
//!
//! One side listens for a certain domain, the other one connects. A port is a name. The other side
//! may be a program that uses libxenvchan, another Mayfly guest, or one of Mirage.
//!
//! ```no_run
//! # async fn example(machine: mayfly::Machine) -> mayfly::Result {
//! # const DOM0: u16 = 0;
//! let xen = machine.xen().ok_or("this app needs Xen")?;
//! let mut listener = xen.vchan_listen(DOM0, "echo").await?;
//! loop {
//!     let mut stream = listener.accept().await?;
//!     let mut buffer = [0; 1024];
//!     while let count @ 1.. = stream.read(&mut buffer).await? {
//!         stream.write_all(&buffer[..count]).await?;
//!     }
//! }
//! # }
//! ```
//!
//! In dom0, with the tool that Xen has for that:
//!
//! ```sh
//! vchan-socket-proxy 1 /local/domain/1/data/vchan/0/echo -
//! ```

use mayfly_xen::{
    grants::DomainId,
    vchan::{self, Lookout},
};

pub use mayfly_xen::vchan::{ReadHalf, RingSizes, Vchan, VchanError, WriteHalf};

use super::Xen;
use crate::{executor, time};

impl Xen {
    /// Waits for connections of the domain `client` at `port`: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`VchanError`]
    pub async fn vchan_listen(&self, client: u16, port: &str) -> Result<VchanListener, VchanError> {
        self.vchan_listen_with(client, port, RingSizes::default()).await
    }

    /// As [`vchan_listen`](Self::vchan_listen), with rings of other sizes: larger ones move more
    /// bytes between two changes of domains, and cost as much memory.
    ///
    /// # Errors
    /// [`VchanError`]
    pub async fn vchan_listen_with(
        &self,
        client: u16,
        port: &str,
        sizes: RingSizes,
    ) -> Result<VchanListener, VchanError> {
        let sharing = mayfly_xen::sharing().ok_or(VchanError::OutOfMemory)?;
        let client = DomainId(client);
        let listener = vchan::Listener::bind(&self.store, sharing, client, port, sizes).await?;
        Ok(VchanListener(listener))
    }

    /// Connects with what the domain `server` has at `port` for this guest, as soon as it has it. A
    /// [`timeout`](time::timeout) helps if that may be never.
    ///
    /// # Errors
    /// [`VchanError`]
    pub async fn vchan_connect(&self, server: u16, port: &str) -> Result<Vchan, VchanError> {
        let sharing = mayfly_xen::sharing().ok_or(VchanError::OutOfMemory)?;
        let (vchan, lookout) = vchan::connect(&self.store, sharing, DomainId(server), port).await?;
        watched(vchan, lookout)
    }
}

/// Waits for connections; see [`Xen::vchan_listen`].
#[derive(Debug)]
pub struct VchanListener(vchan::Listener);

impl VchanListener {
    /// The next connection. The one before may still be in use, or not.
    ///
    /// # Errors
    /// [`VchanError`]
    pub async fn accept(&mut self) -> Result<Vchan, VchanError> {
        let (vchan, lookout) = self.0.accept().await?;
        watched(vchan, lookout)
    }
}

/// Has a task look whether the other side's domain is there, as long as the connection is.
pub(super) fn watched(vchan: Vchan, lookout: Lookout) -> Result<Vchan, VchanError> {
    let task = executor::try_spawn("vchan", lookout.run(time::sleep));
    vchan.accompany(task.map_err(|_| VchanError::OutOfMemory)?);
    Ok(vchan)
}
