//! Virtio devices on a PCI bus (Virtual I/O Device 1.2, section 4.1), as on QEMU's `q35` and `pc`.
//!
//! The firmware has given the buses their numbers and the devices their addresses before the guest
//! starts. What is left is to go through the buses and to map the memory of the virtio devices
//! ([`find_pci`]); and for a driver, to find the registers by the capabilities in the device's
//! configuration space, and to have the device interrupt by messages (MSI-X), which need neither a
//! line to be found out nor a register to be acknowledged ([`Function::open`]).

mod bars;
mod capabilities;
mod configuration;
mod msix;
mod transport;

use mayfly_arch::PciHost;
use virtio_drivers::transport::pci::bus::{
    Command, ConfigurationAccess, DeviceFunction, HeaderType, PciRoot,
};

use self::{bars::Bars, capabilities::Capabilities, configuration::PortConfiguration};
pub(crate) use transport::PciTransport;

use crate::{
    FindError, StartError,
    device::{Device, Kind, Opened, Place},
    line::Line,
    transport::Transport,
};

/// Registers of every function's configuration space.
const ID: u8 = 0;
const HEADER: u8 = 0xc;

/// Slots on a bus, functions in a slot, and the bit of the header type that says that there are
/// more than one.
const SLOTS: u8 = 32;
const FUNCTIONS: u8 = 8;
const MULTIFUNCTION: u8 = 0x80;

const VIRTIO_VENDOR: u16 = 0x1af4;

/// What a virtio device id is added to (section 4.1.2).
const FIRST_DEVICE: u16 = 0x1040;

/// A virtio device on a bus, its memory mapped.
#[derive(Debug)]
pub(crate) struct Function {
    address: DeviceFunction,
    bars: Bars,
}

impl Function {
    /// Where it sits: bus, device and function number.
    pub(crate) fn address(&self) -> DeviceFunction {
        self.address
    }

    /// Takes the registers for a driver.
    pub(crate) fn open(self, kind: Kind) -> Result<Opened, StartError> {
        let Self { address, bars } = self;
        let capabilities = Capabilities::read(address, &bars)?;
        let mut root = PciRoot::new(PortConfiguration);
        let (_, command) = root.get_status_command(address);
        root.set_command(
            address,
            command | Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE,
        );
        let irq = msix::enable(address, &capabilities)?;
        let transport = Transport::Pci(PciTransport::new(kind, &capabilities)?);
        Ok(Opened { transport, irq, line: Line::message() })
    }
}

/// Finds every virtio device behind `host` that Mayfly has a driver for, and calls `each` with it,
/// or with why it cannot be used.
///
/// # Errors
/// [`FindError::Ecam`] if `host` is one that Mayfly does not drive.
pub fn find_pci(
    host: PciHost,
    mut each: impl FnMut(Result<Device, FindError>),
) -> Result<(), FindError> {
    let PciHost::Ports = host else {
        return Err(FindError::Ecam);
    };
    // The firmware numbers the buses behind bridges upwards, so that going through the numbers in
    // order, and following a bridge only upwards, visits each bus once and ends.
    let mut bridged = [0_u64; 4];
    for bus in 0..=u8::MAX {
        if bus != 0 && !contains(&bridged, bus) {
            continue;
        }
        each_function(bus, |address, header| {
            if header == HeaderType::PciPciBridge {
                insert(&mut bridged, configuration::secondary_bus(address));
            } else if let Some(kind) = kind(PortConfiguration.read_word(address, ID)) {
                let place = |bars| Place::Pci(Function { address, bars });
                each(Bars::map(address).map(|bars| Device { kind, place: place(bars) }));
            }
        });
    }
    Ok(())
}

/// Calls `see` with each function on a bus and the type of its configuration space's header.
fn each_function(bus: u8, mut see: impl FnMut(DeviceFunction, HeaderType)) {
    const NOTHING: u32 = u32::MAX;
    for device in 0..SLOTS {
        for function in 0..FUNCTIONS {
            let address = DeviceFunction { bus, device, function };
            let id = PortConfiguration.read_word(address, ID);
            let [_, _, header, _] = PortConfiguration.read_word(address, HEADER).to_le_bytes();
            if id != NOTHING {
                see(address, HeaderType::from(header & !MULTIFUNCTION));
            }
            // Without a first function there are no others.
            if function == 0 && (id == NOTHING || header & MULTIFUNCTION == 0) {
                break;
            }
        }
    }
}

/// What kind of virtio device a function with this register of vendor and device id is, if it is
/// one that there is a driver for. Devices that also have a legacy interface have ids of their own.
fn kind(id: u32) -> Option<Kind> {
    let (vendor, device) = (id as u16, (id >> 16) as u16);
    match (vendor, device) {
        (VIRTIO_VENDOR, 0x1000) => Some(Kind::Net),
        (VIRTIO_VENDOR, 0x1001) => Some(Kind::Block),
        (VIRTIO_VENDOR, 0x1003) => Some(Kind::Console),
        (VIRTIO_VENDOR, 0x1005) => Some(Kind::Entropy),
        (VIRTIO_VENDOR, device) => Kind::of_device_id(device.checked_sub(FIRST_DEVICE)?.into()),
        _ => None,
    }
}

fn contains(set: &[u64; 4], bus: u8) -> bool {
    set.get(usize::from(bus / 64)).is_some_and(|word| word & 1 << (bus % 64) != 0)
}

fn insert(set: &mut [u64; 4], bus: u8) {
    if let Some(word) = set.get_mut(usize::from(bus / 64)) {
        *word |= 1 << (bus % 64);
    }
}

#[cfg(test)]
mod tests {
    use virtio_drivers::transport::pci::{bus::DeviceFunctionInfo, virtio_device_type};

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

    #[test]
    fn kinds_are_told_by_the_ids() {
        for (vendor_id, device_id) in
            [VIRTIO_VENDOR, 0x8086].into_iter().flat_map(|v| (0..0x2000).map(move |d| (v, d)))
        {
            let info = DeviceFunctionInfo {
                vendor_id,
                device_id,
                class: 0,
                subclass: 0,
                prog_if: 0,
                revision: 0,
                header_type: HeaderType::Standard,
            };
            if let Some(kind) = kind(u32::from(device_id) << 16 | u32::from(vendor_id)) {
                assert_eq!(virtio_device_type(&info), Some(kind.device_type()));
            }
        }
        assert_eq!(kind(0x1041_1af4), Some(Kind::Net));
        assert_eq!(kind(0x1000_8086), None);
    }
}
