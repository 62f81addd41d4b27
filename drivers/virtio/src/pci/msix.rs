//! Interrupts by message (PCI Local Bus 3.0, section 6.8.2).
//!
//! The device has a table in its memory; each entry says what to write where. A driver here waits
//! for all of its device's queues at once, so one entry is enough.

use mayfly_arch::{Irq, interrupts};
use safe_mmio::{UniqueMmioPointer, field, fields::ReadPureWrite};
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

use super::{capabilities::Capabilities, configuration::PortConfiguration};
use crate::StartError;

/// The entry that all queues use.
pub(super) const VECTOR: u16 = 0;

/// Bits of the capability's message control, in the upper half of its first word.
const ENABLE: u32 = 1 << 31;
const MASK_ALL: u32 = 1 << 30;

/// One entry of the table.
#[repr(C)]
pub(super) struct Entry {
    address_low: ReadPureWrite<u32>,
    address_high: ReadPureWrite<u32>,
    data: ReadPureWrite<u32>,
    /// Bit 0 masks the entry.
    control: ReadPureWrite<u32>,
}

/// Has the device interrupt by messages, and returns what arrives.
pub(super) fn enable(
    function: DeviceFunction,
    capabilities: &Capabilities,
) -> Result<Irq, StartError> {
    let message = interrupts::allocate_message().ok_or(StartError::NoMessages)?;
    // SAFETY: mapped for ever, and this is its only user.
    let mut entry = unsafe { UniqueMmioPointer::new(capabilities.msix_entry) };
    field!(entry, address_low).write(message.address as u32);
    field!(entry, address_high).write((message.address >> 32) as u32);
    field!(entry, data).write(message.data);
    field!(entry, control).write(0);
    let mut configuration = PortConfiguration;
    let control = configuration.read_word(function, capabilities.msix);
    configuration.write_word(function, capabilities.msix, control & !MASK_ALL | ENABLE);
    Ok(message.irq)
}
