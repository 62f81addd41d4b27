//! The devices of a process.

use alloc::boxed::Box;

use mayfly_arch::HostDevice;
use mayfly_unix::{Disk, Getrandom, Stdio, open_net};

use super::{Devices, not_used};

/// Starts what stands for a device.
pub(super) fn start(device: HostDevice, devices: &mut Devices) {
    match device {
        HostDevice::Net { link, mac } => match open_net(link, mac) {
            Ok(net) => devices.net.push(net),
            Err(error) => not_used(format_args!("network {link:?}"), &error),
        },
        HostDevice::Disk { path, read_only } => match Disk::open(path, read_only) {
            Ok(disk) => devices.block.push(Box::new(disk)),
            Err(error) => not_used(format_args!("disk {path}"), &error),
        },
    }
}

/// Starts the console, and the host's random number generator, which needs no device.
pub(super) fn start_console(devices: &mut Devices) {
    devices.entropy.push(Box::new(Getrandom));
    match Stdio::new() {
        Ok(console) => devices.consoles.push(Box::new(console)),
        Err(error) => not_used(format_args!("standard input and output"), &error),
    }
}
