//! Why a device could not be started.

use core::fmt;

use virtio_drivers::transport::mmio::MmioError;

/// Why a driver could not be started for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// Its registers could not be mapped.
    Map,
    /// The registers are not those of a virtio-mmio device.
    NotVirtio(MmioError),
    /// It is on a PCI bus whose configuration is reached in memory, where nothing has given
    /// addresses to the devices.
    Ecam,
    /// It cannot interrupt by messages (MSI-X), or all messages are taken.
    NoMessages,
    /// It did not come back from a reset.
    Reset,
    /// It offers neither the standard (1.0) nor a usable legacy interface.
    Legacy,
    /// It refused the features that were chosen from its own offer.
    FeaturesRefused,
    /// Its queues are too small or already in use.
    Queue,
    /// Its configuration does not make sense.
    Configuration,
    /// There is no memory for its buffers.
    OutOfMemory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map => f.write_str("its registers cannot be mapped; start it before sealing"),
            Self::NotVirtio(error) => write!(f, "{error}"),
            Self::Ecam => {
                f.write_str("on this machine, attach virtio devices by MMIO instead of PCI")
            }
            Self::NoMessages => f.write_str(
                "there are no message interrupts for it; leave its `vectors` at the default",
            ),
            Self::Reset => f.write_str("it does not come back from a reset"),
            Self::Legacy => f.write_str(
                "it offers only the legacy interface; start QEMU without disable-modern=on",
            ),
            Self::FeaturesRefused => f.write_str("it refuses the features that it offers"),
            Self::Queue => {
                f.write_str("its queues are too small; leave its queue size at the default")
            }
            Self::Configuration => f.write_str("its configuration does not make sense"),
            Self::OutOfMemory => f.write_str("no memory for its buffers; give the guest more (-m)"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<virtio_drivers::Error> for StartError {
    /// The transports fail only where the configuration has no such field.
    fn from(_: virtio_drivers::Error) -> Self {
        Self::Configuration
    }
}
