//! What can go wrong with a device.

use core::fmt;

/// Why a device operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The other end broke the protocol; the device is not used any more.
    Protocol,
    /// The device reports that the operation failed.
    Io,
    /// The device does not support the operation.
    Unsupported,
    /// There is no memory for the operation.
    OutOfMemory,
    /// The device went away.
    Gone,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protocol => "the device broke the protocol and is no longer used",
            Self::Io => "the device reports an I/O error",
            Self::Unsupported => "the device does not support this operation",
            Self::OutOfMemory => "no memory left for the device operation",
            Self::Gone => "the device is gone",
        })
    }
}

impl core::error::Error for DeviceError {}
