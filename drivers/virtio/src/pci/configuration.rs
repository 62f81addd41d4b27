//! PCI configuration space by x86 configuration mechanism 1 (PCI Local Bus 3.0, section
//! 3.2.2.3.2): the address of a register goes to one port, its value is at the other.

use mayfly_arch::ports;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// The bus that an address refers to is enabled.
const ENABLE: u32 = 1 << 31;

/// Offset of the bus numbers in a bridge's configuration: primary, secondary, subordinate, latency.
const BUS_NUMBERS: u8 = 0x18;

/// Configuration space behind the two ports.
#[derive(Clone, Copy)]
pub(super) struct PortConfiguration;

fn address(function: DeviceFunction, register: u8) -> u32 {
    let DeviceFunction { bus, device, function } = function;
    ENABLE
        | u32::from(bus) << 16
        | u32::from(device & 0x1f) << 11
        | u32::from(function & 7) << 8
        | u32::from(register & 0xfc)
}

impl ConfigurationAccess for PortConfiguration {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        ports::write_u32(ADDRESS, address(function, register));
        ports::read_u32(DATA)
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, value: u32) {
        ports::write_u32(ADDRESS, address(function, register));
        ports::write_u32(DATA, value);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        *self
    }
}

/// The bus on the far side of a bridge; 0 if the firmware has not numbered it.
pub(super) fn secondary_bus(bridge: DeviceFunction) -> u8 {
    PortConfiguration.read_word(bridge, BUS_NUMBERS).to_le_bytes()[1]
}
