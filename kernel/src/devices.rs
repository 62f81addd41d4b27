//! The devices that discovery found, and the drivers that an app asks for.
//!
//! At boot, before the page tables are sealed, the registers of all devices are mapped and their
//! kinds noted. A driver is started when the app, or a part of the kernel that the app uses, first
//! asks for the device: so an image holds no driver, and nothing above it, that nobody asks for.

#[cfg(not(target_os = "none"))]
mod host;
mod xen;

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use mayfly_arch::{BootInfo, Device, Irq, PciHost, Uart, UartKind, VirtioMmio};
use mayfly_device::{BlockDevice, ConsoleDevice, EntropySource, InterruptHandler, NetDevice};
use mayfly_virtio::{FindError, Kind, MmioWindow, StartError, Started};
use mayfly_xen::{Xen, store::FoundStore};

use crate::interrupts;

/// What was found, each kind in the order of the machine.
#[derive(Default)]
pub(crate) struct Devices {
    /// Network devices.
    pub(crate) net: Vec<Found>,
    /// Block devices.
    pub(crate) block: Vec<Found>,
    /// Sources of random bytes.
    pub(crate) entropy: Vec<Found>,
    /// Other consoles.
    pub(crate) consoles: Vec<Found>,
    /// XenStore.
    pub(crate) store: Option<FoundStore>,
    /// UARTs and Xen's console. Their drivers are started at once, because the boot has something
    /// to say.
    pub(crate) first_consoles: Vec<Box<dyn ConsoleDevice>>,
}

/// A device whose driver is not started yet.
#[derive(Debug)]
pub(crate) enum Found {
    /// A virtio device.
    Virtio(mayfly_virtio::Device),
    /// A device of Xen.
    Xen(xen::Found),
    /// A device of the host process.
    #[cfg(not(target_os = "none"))]
    Host(host::Found),
}

/// Takes Xen into use if the guest runs on it, which has the console for the guest's first words.
/// Must run before the page tables are sealed.
#[cfg(target_os = "none")]
pub(crate) fn meet_xen(info: &BootInfo) -> Option<Xen> {
    let xen = info.devices.iter().find_map(|device| match device {
        Device::Xen(xen) => Some(xen),
        _ => None,
    })?;
    let started = mayfly_xen::start(xen);
    started.map_err(|error| not_used(format_args!("Xen"), &error)).ok()
}

impl Devices {
    /// Maps the registers of the devices and finds out what they are. A device that cannot be used
    /// is reported in the log and left out. Must run before the page tables are sealed.
    pub(crate) fn find(info: &BootInfo, xen: Option<Xen>) -> Self {
        let mut devices = Self::default();
        if let Some(xen) = xen {
            devices.start_xen(xen);
        }
        devices.find_mmio(&info.devices);
        for device in &info.devices {
            match *device {
                Device::VirtioMmio(_) | Device::Xen(_) => {}
                Device::PciHost(host) => devices.find_pci(host),
                Device::Uart(uart) => devices.start_uart(uart),
                #[cfg(not(target_os = "none"))]
                Device::Host(device) => host::find(device, &mut devices),
                _ => log::warn!("a device of an unknown kind is not used"),
            }
        }
        devices
    }

    /// Finds what is in the virtio-mmio slots, from the highest address down: so QEMU fills them,
    /// and the devices get their numbers in the order of its command line.
    fn find_mmio(&mut self, devices: &[Device]) {
        let mut slots: Vec<VirtioMmio> = Vec::with_capacity(devices.len());
        for device in devices {
            if let Device::VirtioMmio(slot) = device {
                let start = slot.registers.start();
                let place = slots.iter().rposition(|below| below.registers.start() <= start);
                slots.insert(place.map_or(0, |place| place + 1), *slot);
            }
        }
        let mut window = MmioWindow::new();
        for slot in slots.into_iter().rev() {
            match window.find(slot) {
                Ok(Some(device)) => self.take_virtio(device),
                Ok(None) => {}
                Err(error) => {
                    let address = slot.registers.start().0;
                    not_used(format_args!("virtio device at {address:#x}"), &error);
                }
            }
        }
    }

    fn find_pci(&mut self, host: PciHost) {
        let not_used = |error: FindError| not_used(format_args!("a PCI device"), &error);
        let each = |found| match found {
            Ok(device) => self.take_virtio(device),
            Err(error) => not_used(error),
        };
        mayfly_virtio::find_pci(host, each).unwrap_or_else(not_used);
    }

    fn take_virtio(&mut self, device: mayfly_virtio::Device) {
        let list = match device.kind() {
            Kind::Net => &mut self.net,
            Kind::Block => &mut self.block,
            Kind::Entropy => &mut self.entropy,
            Kind::Console => &mut self.consoles,
            _ => return,
        };
        list.push(Found::Virtio(device));
    }

    /// Has Xen announce events from now on, and uses what it offers.
    fn start_xen(&mut self, mut xen: Xen) {
        let (irq, handler) = xen.upcall();
        if !listen(irq, handler, format_args!("Xen")) {
            return;
        }
        if let Err(error) = xen.announce_events() {
            return not_used(format_args!("Xen"), &error);
        }
        self.first_consoles.extend(xen.start_console());
        self.store = xen.take_store();
    }

    fn start_uart(&mut self, uart: Uart) {
        #[cfg(not(target_os = "none"))]
        if uart.kind == UartKind::Stdio {
            return host::find_console(self);
        }
        let name = match uart.kind {
            UartKind::Pl011(_) => "PL011 UART",
            UartKind::Sbsa(_) => "generic UART",
            UartKind::Port16550(_) => "16550 UART",
            UartKind::Stdio => "standard input",
        };
        match mayfly_serial::start(uart) {
            Ok(started) => {
                if listen(started.irq, started.handler, format_args!("{name}")) {
                    self.first_consoles.push(started.console);
                }
            }
            Err(error) => not_used(format_args!("{name}"), &error),
        }
    }
}

impl Found {
    /// Starts the driver of a network device, if it can be.
    pub(crate) async fn start_net(self) -> Option<Box<dyn NetDevice>> {
        match self {
            Self::Virtio(device) => start_virtio(device, mayfly_virtio::Device::start_net),
            #[cfg(not(target_os = "none"))]
            Self::Host(device) => device.start_net(),
            Self::Xen(device) => device.start_net().await,
        }
    }

    /// Starts the driver of a block device, if it can be.
    pub(crate) async fn start_block(self) -> Option<Box<dyn BlockDevice>> {
        match self {
            Self::Virtio(device) => start_virtio(device, mayfly_virtio::Device::start_block),
            #[cfg(not(target_os = "none"))]
            Self::Host(device) => device.start_block(),
            Self::Xen(device) => device.start_block().await,
        }
    }

    /// Starts the driver of a source of random bytes, if it can be.
    pub(crate) fn start_entropy(self) -> Option<Box<dyn EntropySource>> {
        match self {
            Self::Virtio(device) => start_virtio(device, mayfly_virtio::Device::start_entropy),
            #[cfg(not(target_os = "none"))]
            Self::Host(device) => device.start_entropy(),
            Self::Xen(_) => None,
        }
    }

    /// Starts the driver of a console, if it can be.
    pub(crate) fn start_console(self) -> Option<Box<dyn ConsoleDevice>> {
        match self {
            Self::Virtio(device) => start_virtio(device, mayfly_virtio::Device::start_console),
            #[cfg(not(target_os = "none"))]
            Self::Host(device) => device.start_console(),
            Self::Xen(_) => None,
        }
    }
}

/// Starts a driver by `start`. Says in the log why it does not start.
fn start_virtio<D: ?Sized>(
    device: mayfly_virtio::Device,
    start: impl FnOnce(mayfly_virtio::Device) -> Result<Started<D>, StartError>,
) -> Option<Box<D>> {
    let name = device.name();
    let name = format_args!("{name}");
    let started = start(device).map_err(|error| not_used(name, &error)).ok()?;
    listen(started.irq, started.handler, name).then_some(started.device)
}

/// Registers the interrupt of a driver. Returns whether that worked.
fn listen(irq: Irq, handler: &'static dyn InterruptHandler, name: fmt::Arguments<'_>) -> bool {
    let registered = interrupts::register(irq, handler);
    if let Err(error) = &registered {
        not_used(name, error);
    }
    registered.is_ok()
}

#[cold]
fn not_used(name: fmt::Arguments<'_>, error: &dyn fmt::Display) {
    log::error!("{name} is not used: {error}");
}
