//! Names that end in `.xen`, where an app connects to a host by its name.

use alloc::{boxed::Box, rc::Rc, string::ToString};
use core::task::{Context, Poll};

use super::{Conduit, Vchan, VchanError};
use crate::net::{self, Channel, Connecting, Names};

impl Conduit {
    /// Has [`Network::connect`](net::Network::connect) connect to names that end in `.xen` by this
    /// one from now on. It stays registered as long as the guest runs.
    ///
    /// ```no_run
    /// # async fn example(machine: mayfly::Machine) -> mayfly::Result {
    /// let xen = machine.xen().ok_or("this app needs Xen")?;
    /// xen.conduit("web").await?.use_for_names();
    /// let network = machine.network_at(0).await?;
    /// let mut stream = network.connect("database.xen", 5432).await?;
    /// # stream.write_all(b"").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The port of the vchan is called by the number: `5432`.
    pub fn use_for_names(&self) {
        net::set_names(Rc::new(self.clone()));
    }
}

impl Names for Conduit {
    fn connect<'a>(&'a self, name: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let vchan = Self::connect(self, name, &port.to_string()).await?;
            Ok(Box::new(vchan) as Box<dyn Channel>)
        })
    }
}

impl Channel for Vchan {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, net::Error>> {
        Self::poll_read(self, cx, buffer).map_err(error)
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, net::Error>> {
        Self::poll_write(self, cx, data).map_err(error)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), net::Error>> {
        Self::poll_flush(self, cx).map_err(error)
    }

    fn is_readable(&self) -> bool {
        Self::is_readable(self).unwrap_or(true)
    }

    fn is_writable(&self) -> bool {
        Self::is_writable(self).unwrap_or(true)
    }

    fn check(&self) -> Result<(), net::Error> {
        Self::is_writable(self).map(|_| ()).map_err(error)
    }
}

/// What it would be with TCP: there, too, who writes to a peer that has closed is reset.
fn error(error: VchanError) -> net::Error {
    match error {
        VchanError::OutOfMemory => net::Error::OutOfMemory,
        _ => net::Error::Reset,
    }
}
