//! Why a device cannot be used.

use core::fmt;

use crate::store::StoreError;

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
            Self::Closed => f.write_str(
                "its back end refuses it; look for `error` nodes in XenStore, and into dom0's log",
            ),
        }
    }
}

impl core::error::Error for BusError {}
