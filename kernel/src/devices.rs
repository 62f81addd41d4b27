//! Starts a driver for every device that discovery found.

#[cfg(not(target_os = "none"))]
mod host;

use alloc::{boxed::Box, vec::Vec};
use core::{cmp::Reverse, fmt};

use mayfly_arch::{BootInfo, Device, Irq, PciHost, Uart, UartKind, VirtioMmio};
use mayfly_device::{BlockDevice, ConsoleDevice, EntropySource, InterruptHandler, NetDevice};
use mayfly_virtio::{Driver, MmioWindow, StartError, Started};

use crate::interrupts;

/// The devices that work, each kind in the order of the machine.
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

impl Devices {
    /// Starts the drivers. A device whose driver cannot be started is reported in the log and left
    /// out. Must run before the page tables are sealed, because it maps registers.
    pub(crate) fn start(info: &BootInfo) -> Self {
        let mut devices = Self::default();
        devices.start_all_mmio(&info.devices);
        for device in &info.devices {
            match *device {
                Device::VirtioMmio(_) => {}
                Device::PciHost(host) => devices.start_pci(host),
                Device::Uart(uart) => devices.start_uart(uart),
                #[cfg(not(target_os = "none"))]
                Device::Host(device) => host::start(device, &mut devices),
                _ => log::warn!("a device of an unknown kind is not used: {device:?}"),
            }
        }
        devices
    }

    /// Starts what is in the virtio-mmio slots, from the highest address down: so QEMU fills them,
    /// and the devices get their numbers in the order of its command line.
    fn start_all_mmio(&mut self, devices: &[Device]) {
        let mut slots: Vec<VirtioMmio> = devices
            .iter()
            .filter_map(|device| match device {
                Device::VirtioMmio(slot) => Some(*slot),
                _ => None,
            })
            .collect();
        slots.sort_unstable_by_key(|slot| Reverse(slot.registers.start()));
        let mut window = MmioWindow::new();
        for slot in slots {
            self.start_mmio(&mut window, slot);
        }
    }

    fn start_mmio(&mut self, window: &mut MmioWindow, slot: VirtioMmio) {
        let address = slot.registers.start().0;
        let name = format_args!("virtio device at {address:#x}");
        match window.start(slot) {
            Ok(Some(started)) => self.take_virtio(started, name),
            Ok(None) => {}
            Err(error) => not_used(name, &error),
        }
    }

    fn start_pci(&mut self, host: PciHost) {
        let each = |address, started: Result<Started, StartError>| {
            let name = format_args!("virtio device {address}");
            match started {
                Ok(started) => self.take_virtio(started, name),
                Err(error) => not_used(name, &error),
            }
        };
        if let Err(error) = mayfly_virtio::start_pci(host, each) {
            log::warn!("devices on the PCI bus are not used: {error}");
        }
    }

    fn take_virtio(&mut self, started: Started, name: fmt::Arguments<'_>) {
        if !listen(started.irq, started.handler, name) {
            return;
        }
        match started.driver {
            Driver::Net(device) => self.net.push(device),
            Driver::Block(device) => self.block.push(device),
            Driver::Entropy(device) => self.entropy.push(device),
            Driver::Console(device) => self.consoles.push(device),
            _ => log::error!("{name} is not used: the kernel does not know this kind of driver"),
        }
    }

    fn start_uart(&mut self, uart: Uart) {
        #[cfg(not(target_os = "none"))]
        if uart.kind == UartKind::Stdio {
            return host::start_console(self);
        }
        let name = match uart.kind {
            UartKind::Pl011(_) => format_args!("PL011 UART"),
            UartKind::Port16550(_) => format_args!("16550 UART"),
            UartKind::Stdio => format_args!("standard input"),
        };
        match mayfly_serial::start(uart) {
            Ok(started) => {
                if listen(started.irq, started.handler, name) {
                    self.consoles.push(started.console);
                }
            }
            Err(error) => not_used(name, &error),
        }
    }
}

/// Registers the interrupt of a driver. Returns whether that worked.
fn listen(irq: Irq, handler: &'static dyn InterruptHandler, name: fmt::Arguments<'_>) -> bool {
    let registered = interrupts::register(irq, handler);
    if let Err(error) = &registered {
        not_used(name, error);
    }
    registered.is_ok()
}

fn not_used(name: fmt::Arguments<'_>, error: &dyn fmt::Display) {
    log::error!("{name} is not used: {error}");
}
