//! From reset to a working device (Virtual I/O Device 1.2, section 3.1.1).

use mayfly_arch::PAGE_SIZE;
use virtio_drivers::transport::{DeviceStatus, Transport as Registers};

use crate::{StartError, transport::Transport};

/// The device conforms to version 1.0 or later of the standard.
pub(crate) const VERSION_1: u64 = 1 << 32;

/// A legacy device takes headers and data in one descriptor.
pub(crate) const ANY_LAYOUT: u64 = 1 << 27;

/// Each side says after which buffer it wants to hear from the other.
pub(crate) const EVENT_IDX: u64 = 1 << 29;

/// How often the status is read after a reset before the device is given up. Devices reset within
/// the write of the register; the number only keeps a broken one from hanging the guest.
const RESET_POLLS: usize = 10_000;

/// Resets the device. Returns whether it confirmed that.
pub(crate) fn reset(transport: &mut Transport) -> bool {
    transport.set_status(DeviceStatus::empty());
    (0..RESET_POLLS).any(|_| transport.get_status().is_empty())
}

/// Resets the device and agrees with it on features: those of `wanted` that it offers, events
/// if it has them, and version 1.0 except with a legacy transport. Of each pair in
/// `needed_by`, the second is not taken if the first is not offered.
/// The caller sets up queues next and then calls [`go`].
pub(crate) fn negotiate(
    transport: &mut Transport,
    wanted: u64,
    needed_by: &[(u64, u64)],
) -> Result<u64, StartError> {
    if !reset(transport) {
        return Err(StartError::Reset);
    }
    transport.set_status(DeviceStatus::ACKNOWLEDGE);
    transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
    let offered = transport.read_device_features();
    let needed = if transport.requires_legacy_layout() { 0 } else { VERSION_1 };
    if offered & needed != needed {
        transport.set_status(DeviceStatus::FAILED);
        return Err(StartError::Legacy);
    }
    let without = |refused: u64, &(feature, dependent): &(u64, u64)| match offered & feature {
        0 => refused | dependent,
        _ => refused,
    };
    let refused = needed_by.iter().fold(0, without);
    let accepted = offered & (wanted | EVENT_IDX) & !refused | needed;
    transport.write_driver_features(accepted);
    if transport.requires_legacy_layout() {
        transport.set_guest_page_size(PAGE_SIZE as u32);
        return Ok(accepted);
    }
    let chosen = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK;
    transport.set_status(chosen);
    if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
        transport.set_status(DeviceStatus::FAILED);
        return Err(StartError::FeaturesRefused);
    }
    Ok(accepted)
}

/// Tells the device to start working.
pub(crate) fn go(transport: &mut Transport) {
    let status = transport.get_status();
    transport.set_status(status | DeviceStatus::DRIVER_OK);
}
