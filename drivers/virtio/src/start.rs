//! The driver for whatever device is behind a transport.

use alloc::boxed::Box;

use mayfly_arch::Irq;
use mayfly_device::{BlockDevice, ConsoleDevice, EntropySource, InterruptHandler, NetDevice};
use virtio_drivers::transport::{DeviceType, Transport as Registers};

use crate::{
    StartError, block::VirtioBlock, console::VirtioConsole, entropy::VirtioEntropy, line::Line,
    net::VirtioNet, transport::Transport,
};

/// A driver that was started.
pub struct Started {
    /// The device, ready for use.
    pub driver: Driver,
    /// The interrupt to register `handler` for and to enable.
    pub irq: Irq,
    /// What to call when it arrives.
    pub handler: &'static dyn InterruptHandler,
}

/// A started driver, by what it drives.
#[non_exhaustive]
pub enum Driver {
    /// virtio-net.
    Net(Box<dyn NetDevice>),
    /// virtio-blk.
    Block(Box<dyn BlockDevice>),
    /// virtio-rng.
    Entropy(Box<dyn EntropySource>),
    /// virtio-console.
    Console(Box<dyn ConsoleDevice>),
}

/// Where the interrupt of a device arrives.
pub(crate) struct Interrupt {
    pub(crate) irq: Irq,
    pub(crate) line: &'static Line,
}

/// Whether there is a driver for this kind of device.
pub(crate) fn has_driver(kind: DeviceType) -> bool {
    use DeviceType::{Block, Console, EntropySource, Network};
    matches!(kind, Network | Block | EntropySource | Console)
}

/// Starts the driver for the device behind `transport`, if there is one.
pub(crate) fn start(
    transport: Transport,
    interrupt: Interrupt,
) -> Result<Option<Started>, StartError> {
    let Interrupt { irq, line } = interrupt;
    let driver = match transport.device_type() {
        DeviceType::Network => Driver::Net(Box::new(VirtioNet::new(transport, line)?)),
        DeviceType::Block => Driver::Block(Box::new(VirtioBlock::new(transport, line)?)),
        DeviceType::EntropySource => {
            Driver::Entropy(Box::new(VirtioEntropy::new(transport, line)?))
        }
        DeviceType::Console => Driver::Console(Box::new(VirtioConsole::new(transport, line)?)),
        _ => return Ok(None),
    };
    Ok(Some(Started { driver, irq, handler: line }))
}
