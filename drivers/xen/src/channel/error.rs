//! Why there is no console, or no more of it.

use core::fmt;

use crate::bus::ConnectError;

/// What can go wrong with a [`Channel`](super::Channel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// The guest's configuration has none of this name.
    NotFound,
    /// It is open already, or was.
    InUse,
    /// It does not come to work.
    Connect(ConnectError),
    /// It was removed.
    Gone,
    /// The other side broke the protocol.
    Protocol,
}

impl<E: Into<ConnectError>> From<E> for ChannelError {
    fn from(error: E) -> Self {
        Self::Connect(error.into())
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str(
                "there is no such console; give the guest one, in its configuration for xl, and not \
                 as the first, which xl does not make: \
                 channel = [\"connection=pty,name=unused\", \"connection=pty,name=…\"]",
            ),
            Self::InUse => f.write_str("this console is open already; open it once, and keep it"),
            Self::Connect(error) => error.fmt(f),
            Self::Gone => f.write_str("this console was removed"),
            Self::Protocol => {
                f.write_str("the ring is damaged by its other end, and no longer used")
            }
        }
    }
}

impl core::error::Error for ChannelError {}

impl embedded_io_async::Error for ChannelError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::InUse => ErrorKind::AddrInUse,
            Self::Connect(_) => ErrorKind::NotConnected,
            Self::Gone => ErrorKind::BrokenPipe,
            Self::Protocol => ErrorKind::InvalidData,
        }
    }
}
