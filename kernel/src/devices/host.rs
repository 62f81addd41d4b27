//! The devices of a process.

use alloc::boxed::Box;

use mayfly_arch::{HostDevice, HostLink};
use mayfly_device::{BlockDevice, ConsoleDevice, EntropySource, NetDevice};
use mayfly_unix::{Disk, Getrandom, Stdio, open_net};

use super::{Devices, not_used};

/// What stands for a device.
#[derive(Debug)]
pub(crate) enum Found {
    /// See [`HostDevice::Net`].
    Net { link: HostLink, mac: [u8; 6] },
    /// See [`HostDevice::Disk`].
    Disk { path: &'static str, read_only: bool },
    /// The host's random number generator.
    Random,
}

/// Notes a device.
pub(super) fn find(device: HostDevice, devices: &mut Devices) {
    match device {
        HostDevice::Net { link, mac } => {
            devices.net.push(super::Found::Host(Found::Net { link, mac }));
        }
        HostDevice::Disk { path, read_only } => {
            devices.block.push(super::Found::Host(Found::Disk { path, read_only }));
        }
    }
}

/// Starts the console, and notes the host's random number generator, which needs no device.
pub(super) fn find_console(devices: &mut Devices) {
    devices.entropy.push(super::Found::Host(Found::Random));
    match Stdio::new() {
        Ok(console) => devices.first_consoles.push(Box::new(console)),
        Err(error) => not_used(format_args!("standard input and output"), &error),
    }
}

impl Found {
    pub(super) fn start_net(self) -> Option<Box<dyn NetDevice>> {
        let Self::Net { link, mac } = self else { return None };
        open_net(link, mac).map_err(|error| not_used(format_args!("network {link:?}"), &error)).ok()
    }

    pub(super) fn start_block(self) -> Option<Box<dyn BlockDevice>> {
        let Self::Disk { path, read_only } = self else { return None };
        match Disk::open(path, read_only) {
            Ok(disk) => Some(Box::new(disk)),
            Err(error) => {
                not_used(format_args!("disk {path}"), &error);
                None
            }
        }
    }

    pub(super) fn start_entropy(self) -> Option<Box<dyn EntropySource>> {
        matches!(self, Self::Random).then(|| Box::new(Getrandom) as _)
    }

    /// There are no consoles but the one that is started at once.
    pub(super) fn start_console(self) -> Option<Box<dyn ConsoleDevice>> {
        None
    }
}
