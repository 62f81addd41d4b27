//! Where a virtio device's registers are, from the capability list of its configuration space.

use core::ptr::NonNull;

use virtio_drivers::transport::pci::bus::{
    ConfigurationAccess, DeviceFunction, PCI_CAP_ID_VNDR, PciRoot,
};

use super::{bars::Bars, configuration::PortConfiguration, msix::Entry, transport::Common};
use crate::StartError;

/// Capability of message interrupts (PCI Local Bus 3.0, section 6.8.2).
const CAP_ID_MSIX: u8 = 0x11;

/// Structure types of virtio's capabilities, section 4.1.4.
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;

/// A list of capabilities cannot be longer than the space that holds it; a longer one is a ring.
const MAX_CAPABILITIES: usize = (256 - 64) / 4;

/// Bytes of `virtio_pci_cap`, and with the multiplier that the notify structure adds.
const CAP_SIZE: u8 = 16;
const NOTIFY_CAP_SIZE: u8 = 20;

/// What the capabilities say.
pub(super) struct Capabilities {
    /// The registers that all devices have.
    pub(super) common: NonNull<Common>,
    /// Where queues are notified.
    pub(super) notify: NonNull<[u8]>,
    /// Bytes between one queue's notification register and the next, for each step of its offset.
    pub(super) notify_multiplier: u32,
    /// The device's own configuration, if it has any.
    pub(super) device: Option<NonNull<[u32]>>,
    /// Offset of the MSI-X capability.
    pub(super) msix: u8,
    /// The first entry of the MSI-X table, the only one that is used.
    pub(super) msix_entry: NonNull<Entry>,
}

impl Capabilities {
    /// Reads the capabilities of a virtio device of version 1.0 or later, and checks that what they
    /// describe lies within the memory that the firmware has given to it.
    pub(super) fn read(function: DeviceFunction, bars: &Bars) -> Result<Self, StartError> {
        let root = PciRoot::new(PortConfiguration);
        let (mut common, mut notify, mut device, mut msix) = (None, None, None, None);
        for capability in root.capabilities(function).take(MAX_CAPABILITIES) {
            let at = capability.offset;
            let [length, kind] = capability.private_header.to_le_bytes();
            match (capability.id, kind) {
                (CAP_ID_MSIX, _) if msix.is_none() => {
                    msix = Some((at, msix_entry(function, at, bars)?));
                }
                (PCI_CAP_ID_VNDR, COMMON) if length >= CAP_SIZE && common.is_none() => {
                    common = Some(structure::<Common>(function, at, bars)?.cast());
                }
                (PCI_CAP_ID_VNDR, NOTIFY) if length >= NOTIFY_CAP_SIZE && notify.is_none() => {
                    notify = Some((structure(function, at, bars)?, word(function, at, 16)?));
                }
                (PCI_CAP_ID_VNDR, DEVICE) if length >= CAP_SIZE && device.is_none() => {
                    device = Some(structure(function, at, bars)?);
                }
                _ => {}
            }
        }
        let (notify, notify_multiplier) = notify.ok_or(StartError::Legacy)?;
        let (msix, msix_entry) = msix.ok_or(StartError::NoMessages)?;
        let common = common.ok_or(StartError::Legacy)?;
        Ok(Self { common, notify, notify_multiplier, device, msix, msix_entry })
    }
}

/// A word of the capability at `at`.
fn word(function: DeviceFunction, at: u8, offset: u8) -> Result<u32, StartError> {
    let register = at.checked_add(offset).ok_or(StartError::Configuration)?;
    Ok(PortConfiguration.read_word(function, register))
}

/// The registers that a `virtio_pci_cap` describes: index of a base address register, offset,
/// length.
fn structure<T>(function: DeviceFunction, at: u8, bars: &Bars) -> Result<NonNull<[T]>, StartError> {
    let [bar, ..] = word(function, at, 4)?.to_le_bytes();
    let offset = word(function, at, 8)?;
    let length = word(function, at, 12)?;
    bars.registers(bar, offset, length)
}

/// The first entry of the MSI-X table. The capability holds its offset and, in the lowest three
/// bits, the index of a base address register.
fn msix_entry(function: DeviceFunction, at: u8, bars: &Bars) -> Result<NonNull<Entry>, StartError> {
    let place = word(function, at, 4)?;
    let entry =
        bars.registers::<Entry>((place & 7) as u8, place & !7, size_of::<Entry>() as u32)?;
    Ok(entry.cast())
}
