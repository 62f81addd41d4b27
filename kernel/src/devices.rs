//! Starts a driver for every device that discovery found.

use alloc::{boxed::Box, vec::Vec};

use mayfly_arch::{BootInfo, Device};
use mayfly_device::{BlockDevice, ConsoleDevice, EntropySource, NetDevice};
use mayfly_virtio::{Driver, MmioWindow, StartError, Started};

use crate::interrupts;

/// The devices that work, each kind in the order of discovery.
#[derive(Default)]
pub(crate) struct Devices {
    /// Network devices.
    pub(crate) net: Vec<Box<dyn NetDevice>>,
    /// Block devices.
    pub(crate) block: Vec<Box<dyn BlockDevice>>,
    /// Sources of random bytes.
    pub(crate) entropy: Vec<Box<dyn EntropySource>>,
    /// Consoles.
    pub(crate) consoles: Vec<Box<dyn ConsoleDevice>>,
}

/// Starts the drivers. A device whose driver cannot be started is reported in the log and left out.
/// Must run before the page tables are sealed, because it maps registers.
pub(crate) fn start(info: &BootInfo) -> Devices {
    let mut devices = Devices::default();
    let mut window = MmioWindow::new();
    for device in &info.devices {
        match device {
            Device::VirtioMmio(slot) => {
                let place = slot.registers.start().0;
                devices.take(window.start(*slot), format_args!("virtio device at {place:#x}"));
            }
            Device::PciHost(host) => {
                let each = |address, started: Result<Started, StartError>| {
                    devices.take(started.map(Some), format_args!("virtio device {address}"));
                };
                if let Err(error) = mayfly_virtio::start_pci(*host, each) {
                    log::warn!("devices on the PCI bus are not used: {error}");
                }
            }
            _ => {}
        }
    }
    devices
}

impl Devices {
    /// Registers the interrupt of a driver and keeps the device, or reports why there is none.
    fn take(
        &mut self,
        started: Result<Option<Started>, StartError>,
        name: core::fmt::Arguments<'_>,
    ) {
        let started = match started {
            Ok(Some(started)) => started,
            Ok(None) => return,
            Err(error) => return log::error!("{name} is not used: {error}"),
        };
        if let Err(error) = interrupts::register(started.irq, started.handler) {
            return log::error!("{name} is not used: {error}");
        }
        match started.driver {
            Driver::Net(device) => self.net.push(device),
            Driver::Block(device) => self.block.push(device),
            Driver::Entropy(device) => self.entropy.push(device),
            Driver::Console(device) => self.consoles.push(device),
            _ => log::error!("{name} is not used: the kernel does not know this kind of driver"),
        }
    }
}
