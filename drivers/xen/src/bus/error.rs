//! Why a device cannot be used.

use core::fmt;

use crate::{XenError, grants::GrantError, store::StoreError};

/// What went wrong between a front end and its back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusError {
    /// XenStore failed.
    Store(StoreError),
    /// The back end went away, or was never there.
    Gone,
    /// The back end has closed instead of going on.
    Closed,
    /// The back end broke the protocol of the device's rings.
    Broken,
    /// The back end has come back, but what it offers is another device.
    Changed,
    /// The guest does not use the device any more.
    Unused,
}

impl From<StoreError> for BusError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Gone => f.write_str("its back end is gone; the device was detached"),
            Self::Broken => f.write_str("its back end broke the protocol; the device was closed"),
            Self::Changed => f.write_str(
                "its back end has come back with another size, address or features, so the device \
                 cannot be used any more; restart the guest",
            ),
            Self::Unused => {
                f.write_str("the guest does not use it any more; the device was closed")
            }
            Self::Closed => f.write_str(
                "its back end refuses it; look for `error` nodes in XenStore, and into dom0's log",
            ),
        }
    }
}

impl core::error::Error for BusError {}

/// Why a device does not come to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The back end is not there, or does not want.
    Bus(BusError),
    /// What the other side says about it is not enough to use it.
    Unsuitable(&'static str),
    /// There are no grants for it.
    Grants(GrantError),
    /// There is no event channel for it.
    Events(XenError),
    /// There is no memory for it.
    OutOfMemory,
}

impl<E: Into<BusError>> From<E> for ConnectError {
    fn from(error: E) -> Self {
        Self::Bus(error.into())
    }
}

impl From<GrantError> for ConnectError {
    fn from(error: GrantError) -> Self {
        Self::Grants(error)
    }
}

impl From<XenError> for ConnectError {
    fn from(error: XenError) -> Self {
        Self::Events(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bus(error) => error.fmt(f),
            Self::Unsuitable(why) => f.write_str(why),
            Self::Grants(error) => error.fmt(f),
            Self::Events(error) => error.fmt(f),
            Self::OutOfMemory => f.write_str("there is no memory for it; give the guest more"),
        }
    }
}

impl core::error::Error for ConnectError {}
