//! The way to a device's registers, whichever it is.

use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::{
    PhysAddr, Result,
    transport::{DeviceStatus, DeviceType, InterruptStatus, Transport as Registers},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::pci::PciTransport;

/// The registers of a device. One type for all transports, so that the drivers exist once.
pub(crate) enum Transport {
    /// At an address.
    Mmio(MmioTransport<'static>),
    /// On a PCI bus.
    Pci(PciTransport),
    /// In memory, played by a test.
    #[cfg(test)]
    Fake(crate::fake::FakeTransport),
}

impl Transport {
    /// Whether the queue that was just set up can notify and interrupt.
    pub(crate) fn queue_works(&mut self, queue: u16) -> bool {
        match self {
            Self::Pci(transport) => transport.queue_works(queue),
            _ => true,
        }
    }
}

macro_rules! either {
    ($self:expr, $transport:ident => $call:expr) => {
        match $self {
            Transport::Mmio($transport) => $call,
            Transport::Pci($transport) => $call,
            #[cfg(test)]
            Transport::Fake($transport) => $call,
        }
    };
}

impl Registers for Transport {
    fn device_type(&self) -> DeviceType {
        either!(self, t => t.device_type())
    }

    fn read_device_features(&mut self) -> u64 {
        either!(self, t => t.read_device_features())
    }

    fn write_driver_features(&mut self, features: u64) {
        either!(self, t => t.write_driver_features(features))
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        either!(self, t => t.max_queue_size(queue))
    }

    #[inline]
    fn notify(&mut self, queue: u16) {
        either!(self, t => t.notify(queue))
    }

    fn get_status(&self) -> DeviceStatus {
        either!(self, t => t.get_status())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        either!(self, t => t.set_status(status))
    }

    fn set_guest_page_size(&mut self, size: u32) {
        either!(self, t => t.set_guest_page_size(size))
    }

    fn requires_legacy_layout(&self) -> bool {
        either!(self, t => t.requires_legacy_layout())
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        either!(self, t => t.queue_set(queue, size, descriptors, driver_area, device_area))
    }

    fn queue_unset(&mut self, queue: u16) {
        either!(self, t => t.queue_unset(queue))
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        either!(self, t => t.queue_used(queue))
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        either!(self, t => t.ack_interrupt())
    }

    fn read_config_generation(&self) -> u32 {
        either!(self, t => t.read_config_generation())
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        either!(self, t => t.read_config_space(offset))
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<()> {
        either!(self, t => t.write_config_space(offset, value))
    }
}
