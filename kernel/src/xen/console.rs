//! Consoles beside the first one, each with a name: xl calls them channels.
//!
//! With this line in the guest's configuration, dom0 has a pseudo-terminal whose other end the guest
//! opens by its name (QEMU plays the back end there, so its package for Xen must be installed; xl of
//! Xen 4.17 does not make the first channel, whatever its name):
//!
//! ```text
//! channel = ["connection=pty,name=unused", "connection=pty,name=monitor"]
//! ```
//!
//! ```no_run
//! # async fn example(machine: mayfly::Machine) -> mayfly::Result {
//! let xen = machine.xen().ok_or("this app needs Xen")?;
//! let mut monitor = xen.console("monitor").await?;
//! let mut buffer = [0; 64];
//! loop {
//!     let count = monitor.read(&mut buffer).await?;
//!     monitor.write_all(&buffer[..count]).await?;
//! }
//! # }
//! ```

use alloc::format;

use mayfly_xen::{bus::ConnectError, channel};

pub use mayfly_xen::channel::{Channel, ChannelError};

use super::Xen;

impl Xen {
    /// Opens the console that the guest's configuration calls `name`, as soon as its back end is
    /// ready. Each can be opened by one at a time; dropping the [`Channel`] closes it.
    ///
    /// # Errors
    /// [`ChannelError`]
    pub async fn console(&self, name: &str) -> Result<Channel, ChannelError> {
        let sharing = mayfly_xen::sharing().ok_or(ConnectError::OutOfMemory)?;
        let (channel, minder) = channel::open(&self.store, sharing, name).await?;
        self.detached.mind("console", format!("console {name}"), minder);
        Ok(channel)
    }
}
