//! What can go wrong with a disk operation.

use core::fmt;

use mayfly_device::DeviceError;

/// Why a disk operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Offset or length is not a multiple of the sector size, given in bytes.
    Misaligned {
        /// What they must be a multiple of.
        sector_size: usize,
    },
    /// The range passes the end of the disk, whose size is given in bytes.
    OutOfRange {
        /// Size of the disk.
        size: u64,
    },
    /// The disk cannot be written.
    ReadOnly,
    /// There is no memory for a transfer buffer.
    OutOfMemory,
    /// The device failed.
    Device(DeviceError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned { sector_size } => {
                write!(f, "offset and length must be multiples of {sector_size}, the sector size")
            }
            Self::OutOfRange { size } => write!(f, "beyond the end of the disk at {size} bytes"),
            Self::ReadOnly => f.write_str("the disk is read-only; attach it without readonly=on"),
            Self::OutOfMemory => {
                f.write_str("no memory for a transfer buffer; give the guest more memory")
            }
            Self::Device(error) => write!(f, "disk: {error}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Device(error) => Some(error),
            _ => None,
        }
    }
}

impl From<DeviceError> for Error {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}
