//! Devices that were found, and the drivers for them.
//!
//! Finding and starting are apart because they happen at different times: devices are found, and
//! their registers mapped, before the page tables are sealed; a driver is started when it is first
//! asked for, and one that no part of an image asks for is not in the image.

use alloc::boxed::Box;
use core::fmt;

use mayfly_arch::Irq;
use mayfly_device::{BlockDevice, ConsoleDevice, EntropySource, InterruptHandler, NetDevice};
use virtio_drivers::transport::{DeviceType, pci::bus::DeviceFunction};

use crate::{
    StartError, block::VirtioBlock, console::VirtioConsole, entropy::VirtioEntropy, line::Line,
    mmio::Slot, net::VirtioNet, pci::Function, transport::Transport,
};

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// virtio-net.
    Net,
    /// virtio-blk.
    Block,
    /// virtio-rng.
    Entropy,
    /// virtio-console.
    Console,
}

impl Kind {
    /// What the device id stands for (Virtual I/O Device 1.2, section 5), if there is a driver.
    pub(crate) const fn of_device_id(id: u32) -> Option<Self> {
        match id {
            1 => Some(Self::Net),
            2 => Some(Self::Block),
            3 => Some(Self::Console),
            4 => Some(Self::Entropy),
            _ => None,
        }
    }

    pub(crate) const fn device_type(self) -> DeviceType {
        match self {
            Self::Net => DeviceType::Network,
            Self::Block => DeviceType::Block,
            Self::Entropy => DeviceType::EntropySource,
            Self::Console => DeviceType::Console,
        }
    }
}

/// A device that was found. Its registers are mapped, and it is in the state in which the firmware
/// has left it.
#[derive(Debug)]
pub struct Device {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// Where the registers of a device are.
#[derive(Debug)]
pub(crate) enum Place {
    /// At an address.
    Mmio(Slot),
    /// On a PCI bus.
    Pci(Function),
}

/// A driver that was started.
pub struct Started<D: ?Sized> {
    /// The device, ready for use.
    pub device: Box<D>,
    /// The interrupt to register `handler` for and to enable.
    pub irq: Irq,
    /// What to call when it arrives.
    pub handler: &'static dyn InterruptHandler,
}

/// The registers of a device and where its interrupt arrives.
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) irq: Irq,
    pub(crate) line: Line,
}

impl Device {
    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What messages call it.
    pub fn name(&self) -> Name {
        Name(match &self.place {
            Place::Mmio(slot) => NameParts::Mmio(slot.address()),
            Place::Pci(function) => NameParts::Pci(function.address()),
        })
    }

    /// Starts the driver of a network device.
    ///
    /// # Errors
    /// Why it cannot be started; [`StartError::Kind`] if it is another kind of device.
    pub fn start_net(self) -> Result<Started<dyn NetDevice>, StartError> {
        let (transport, irq, line) = self.open(Kind::Net)?;
        let device = Box::new(VirtioNet::new(transport, line)?);
        Ok(Started { device, irq, handler: line })
    }

    /// Starts the driver of a block device.
    ///
    /// # Errors
    /// As of [`start_net`](Self::start_net).
    pub fn start_block(self) -> Result<Started<dyn BlockDevice>, StartError> {
        let (transport, irq, line) = self.open(Kind::Block)?;
        let device = Box::new(VirtioBlock::new(transport, line)?);
        Ok(Started { device, irq, handler: line })
    }

    /// Starts the driver of a source of random bytes.
    ///
    /// # Errors
    /// As of [`start_net`](Self::start_net).
    pub fn start_entropy(self) -> Result<Started<dyn EntropySource>, StartError> {
        let (transport, irq, line) = self.open(Kind::Entropy)?;
        let device = Box::new(VirtioEntropy::new(transport, line)?);
        Ok(Started { device, irq, handler: line })
    }

    /// Starts the driver of a console.
    ///
    /// # Errors
    /// As of [`start_net`](Self::start_net).
    pub fn start_console(self) -> Result<Started<dyn ConsoleDevice>, StartError> {
        let (transport, irq, line) = self.open(Kind::Console)?;
        let device = Box::new(VirtioConsole::new(transport, line)?);
        Ok(Started { device, irq, handler: line })
    }

    fn open(self, kind: Kind) -> Result<(Transport, Irq, &'static Line), StartError> {
        if self.kind != kind {
            return Err(StartError::Kind);
        }
        let Opened { transport, irq, line } = match self.place {
            Place::Mmio(slot) => slot.open()?,
            Place::Pci(function) => function.open(kind)?,
        };
        Ok((transport, irq, Box::leak(Box::new(line))))
    }
}

/// What messages call a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(NameParts);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameParts {
    Mmio(u64),
    Pci(DeviceFunction),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            NameParts::Mmio(address) => write!(f, "virtio device at {address:#x}"),
            NameParts::Pci(DeviceFunction { bus, device, function }) => {
                write!(f, "virtio device {bus:02x}:{device:02x}.{function}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_ids_and_types_agree() {
        for id in 0..100 {
            if let Some(kind) = Kind::of_device_id(id) {
                assert_eq!(DeviceType::try_from(id), Ok(kind.device_type()));
            }
        }
        assert_eq!(Kind::of_device_id(0), None);
    }
}
