//! Virtio devices on a PCI bus (Virtual I/O Device 1.2, section 4.1), as on QEMU's `q35` and `pc`.
//!
//! The firmware has given the buses their numbers and the devices their addresses before the guest
//! starts. What is left is to go through the buses, to find the registers by the capabilities in
//! each device's configuration space, and to have the device interrupt by messages (MSI-X), which
//! need neither a line to be found out nor a register to be acknowledged.

mod capabilities;
mod configuration;
mod msix;
mod region;
mod transport;

use alloc::boxed::Box;
use core::fmt;

use mayfly_arch::PciHost;
use virtio_drivers::transport::{
    DeviceType,
    pci::{
        bus::{Command, DeviceFunction, DeviceFunctionInfo, HeaderType, PciRoot},
        virtio_device_type,
    },
};

use self::{capabilities::Capabilities, configuration::PortConfiguration};
pub(crate) use transport::PciTransport;

use crate::{
    StartError, Started,
    line::Line,
    start::{Interrupt, start},
    transport::Transport,
};

/// Where a device sits: bus, device and function number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciAddress(DeviceFunction);

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Starts the driver of every virtio device behind `host`, and calls `each` with what came of it.
///
/// # Errors
/// [`StartError::Ecam`] if `host` is one that Mayfly does not drive.
pub fn start_pci(
    host: PciHost,
    mut each: impl FnMut(PciAddress, Result<Started, StartError>),
) -> Result<(), StartError> {
    let PciHost::Ports = host else {
        return Err(StartError::Ecam);
    };
    let mut root = PciRoot::new(PortConfiguration);
    // The firmware numbers the buses behind bridges upwards, so that going through the numbers in
    // order, and following a bridge only upwards, visits each bus once and ends.
    let mut bridged = [0_u64; 4];
    for bus in 0..=u8::MAX {
        if bus != 0 && !contains(&bridged, bus) {
            continue;
        }
        for (function, info) in root.enumerate_bus(bus) {
            if info.header_type == HeaderType::PciPciBridge {
                insert(&mut bridged, configuration::secondary_bus(function));
            } else if let Some(kind) = supported(&info) {
                match start_function(&mut root, function, kind) {
                    Ok(Some(started)) => each(PciAddress(function), Ok(started)),
                    Ok(None) => {}
                    Err(error) => each(PciAddress(function), Err(error)),
                }
            }
        }
    }
    Ok(())
}

fn contains(set: &[u64; 4], bus: u8) -> bool {
    set.get(usize::from(bus / 64)).is_some_and(|word| word & 1 << (bus % 64) != 0)
}

fn insert(set: &mut [u64; 4], bus: u8) {
    if let Some(word) = set.get_mut(usize::from(bus / 64)) {
        *word |= 1 << (bus % 64);
    }
}

/// What kind of virtio device it is, if it is one.
fn supported(info: &DeviceFunctionInfo) -> Option<DeviceType> {
    virtio_device_type(info).filter(|kind| crate::start::has_driver(*kind))
}

fn start_function(
    root: &mut PciRoot<PortConfiguration>,
    function: DeviceFunction,
    kind: DeviceType,
) -> Result<Option<Started>, StartError> {
    let capabilities = Capabilities::read(root, function)?;
    let (_, command) = root.get_status_command(function);
    root.set_command(
        function,
        command | Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
    );
    let irq = msix::enable(function, &capabilities)?;
    let transport = PciTransport::new(kind, &capabilities)?;
    let line = Box::leak(Box::new(Line::message()));
    start(Transport::Pci(transport), Interrupt { irq, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_in_the_set_once_it_was_put_in() {
        let mut set = [0; 4];
        for bus in [0, 1, 63, 64, 255] {
            assert!(!contains(&set, bus));
            insert(&mut set, bus);
            assert!(contains(&set, bus));
        }
        assert_eq!(set.iter().map(|word| word.count_ones()).sum::<u32>(), 5);
    }
}
