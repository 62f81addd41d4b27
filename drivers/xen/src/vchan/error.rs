//! Why there is no channel, or none any more.

use core::fmt;

use crate::{
    XenError,
    grants::{ForeignError, GrantError},
    store::StoreError,
};

/// What is wrong with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VchanError {
    /// The name of the port is not one: letters, digits, `-` and `_`, 64 at most.
    Name,
    /// A ring is to be larger than a mebibyte.
    Size,
    /// The server would be this guest itself.
    Own,
    /// XenStore does not do its part.
    Store(StoreError),
    /// Xen makes no event channel.
    Event(XenError),
    /// A page is not granted.
    Grant(GrantError),
    /// A page of the server is not mapped.
    Map(ForeignError),
    /// There is no memory for it.
    OutOfMemory,
    /// What the server has published is no channel.
    BadOffer,
    /// The other side has closed the channel.
    Closed,
    /// The other side's domain is gone.
    Gone,
    /// The other side broke the protocol.
    Protocol,
}

impl fmt::Display for VchanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "the port of a vchan has letters, digits, `-` and `_` only, and no more than 64"
            }
            Self::Size => "the rings of a vchan have a mebibyte each, at most",
            Self::Own => "a vchan is between two domains; within a guest, take a channel of `sync`",
            Self::Store(error) => return error.fmt(f),
            Self::Event(error) => return write!(f, "the vchan has no event channel: {error}"),
            Self::Grant(error) => return error.fmt(f),
            Self::Map(error) => return error.fmt(f),
            Self::OutOfMemory => "no memory is left for the vchan",
            Self::BadOffer => "what the server has published is no vchan",
            Self::Closed => "the other side has closed the vchan",
            Self::Gone => "the domain on the other side of the vchan is gone",
            Self::Protocol => "the other side broke the protocol of the vchan, which is given up",
        })
    }
}

impl core::error::Error for VchanError {}

impl embedded_io_async::Error for VchanError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Self::Name | Self::Size | Self::Own => ErrorKind::InvalidInput,
            Self::Store(_) | Self::Event(_) | Self::Grant(_) | Self::Map(_) => ErrorKind::Other,
            Self::OutOfMemory => ErrorKind::OutOfMemory,
            Self::BadOffer | Self::Protocol => ErrorKind::InvalidData,
            Self::Closed => ErrorKind::BrokenPipe,
            Self::Gone => ErrorKind::ConnectionReset,
        }
    }
}

impl From<StoreError> for VchanError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<GrantError> for VchanError {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

impl From<ForeignError> for VchanError {
    fn from(error: ForeignError) -> Self {
        Self::Map(error)
    }
}
