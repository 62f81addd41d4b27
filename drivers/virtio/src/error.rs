//! Why a device cannot be used.

use core::fmt;

use mayfly_arch::mmu::MapError;

/// Why a device that is there could not be found out about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindError {
    /// Its registers could not be mapped.
    Map(MapError),
    /// Its registers cannot be where discovery says.
    Place,
    /// The registers are not those of a virtio-mmio device.
    NotVirtio,
    /// It is on a PCI bus whose configuration is reached in memory, where nothing has given
    /// addresses to the devices.
    Ecam,
    /// Its PCI configuration does not make sense.
    Configuration,
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // What is to be done depends on the cause: it is the place or a lack of memory.
            Self::Map(cause) => return write!(f, "its registers cannot be mapped: {cause}"),
            Self::Place => "its registers cannot be where the machine's description says",
            Self::NotVirtio => "its registers are not those of a virtio device",
            Self::Ecam => "on this machine, attach virtio devices by MMIO instead of PCI",
            Self::Configuration => "its PCI configuration does not make sense",
        })
    }
}

impl core::error::Error for FindError {}

/// Why a driver could not be started for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// It is another kind of device.
    Kind,
    /// It is of a version of virtio-mmio that Mayfly does not know.
    Version,
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
        f.write_str(match self {
            Self::Kind => "it is another kind of device",
            Self::Version => "it is of an unknown version of virtio-mmio; use another QEMU",
            Self::NoMessages => {
                "there are no message interrupts for it; leave its `vectors` at the default"
            }
            Self::Reset => "it does not come back from a reset",
            Self::Legacy => {
                "it offers only the legacy interface; start QEMU without disable-modern=on"
            }
            Self::FeaturesRefused => "it refuses the features that it offers",
            Self::Queue => "its queues are too small; leave its queue size at the default",
            Self::Configuration => "its configuration does not make sense",
            Self::OutOfMemory => "no memory for its buffers; give the guest more (-m)",
        })
    }
}

impl core::error::Error for StartError {}

impl From<virtio_drivers::Error> for StartError {
    /// The transports fail only where the configuration has no such field.
    fn from(_: virtio_drivers::Error) -> Self {
        Self::Configuration
    }
}
