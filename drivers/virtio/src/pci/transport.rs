//! The registers of a virtio device on PCI (Virtual I/O Device 1.2, section 4.1.4).
//!
//! The `virtio-drivers` crate has a transport too. This one also routes the interrupts, checks the
//! capabilities before it uses them, and notifies by a single access instead of three, which is
//! what costs time under a hypervisor.

use core::ptr::NonNull;

use mayfly_arch::PhysAddr as Address;
use safe_mmio::{
    UniqueMmioPointer, field, field_shared,
    fields::{ReadPure, ReadPureWrite, WriteOnly},
};
use virtio_drivers::{
    Error, PhysAddr, Result,
    transport::{DeviceStatus, DeviceType, InterruptStatus, Transport},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{capabilities::Capabilities, msix};
use crate::{StartError, device::Kind};

/// Most queues of a device that a driver here uses.
const MAX_QUEUES: usize = 2;

/// No interrupt.
const NO_VECTOR: u16 = 0xffff;

/// `virtio_pci_common_cfg`, section 4.1.4.3. The addresses are of 64 bits, accessed by halves.
#[repr(C)]
pub(super) struct Common {
    device_feature_select: ReadPureWrite<u32>,
    device_feature: ReadPure<u32>,
    driver_feature_select: ReadPureWrite<u32>,
    driver_feature: ReadPureWrite<u32>,
    config_msix_vector: ReadPureWrite<u16>,
    num_queues: ReadPure<u16>,
    device_status: ReadPureWrite<u8>,
    config_generation: ReadPure<u8>,
    queue_select: ReadPureWrite<u16>,
    queue_size: ReadPureWrite<u16>,
    queue_msix_vector: ReadPureWrite<u16>,
    queue_enable: ReadPureWrite<u16>,
    queue_notify_off: ReadPure<u16>,
    queue_desc: [ReadPureWrite<u32>; 2],
    queue_driver: [ReadPureWrite<u32>; 2],
    queue_device: [ReadPureWrite<u32>; 2],
}

const _: () = assert!(size_of::<Common>() == 56);

/// The transport.
pub(crate) struct PciTransport {
    kind: Kind,
    common: UniqueMmioPointer<'static, Common>,
    notify: NonNull<[u8]>,
    notify_multiplier: u32,
    /// The notification register of each queue that was set up.
    doorbells: [Option<UniqueMmioPointer<'static, WriteOnly<u16>>>; MAX_QUEUES],
    configuration: Option<NonNull<[u8]>>,
}

impl PciTransport {
    /// The transport on these registers, which nobody else uses.
    pub(super) fn new(
        kind: Kind,
        capabilities: &Capabilities,
    ) -> core::result::Result<Self, StartError> {
        Ok(Self {
            kind,
            // SAFETY: mapped for ever, and this is its only user.
            common: unsafe { UniqueMmioPointer::new(capabilities.common) },
            notify: capabilities.notify,
            notify_multiplier: capabilities.notify_multiplier,
            doorbells: [const { None }; MAX_QUEUES],
            configuration: capabilities
                .device
                .map(|words| NonNull::slice_from_raw_parts(words.cast(), 4 * words.len())),
        })
    }

    fn select(&mut self, queue: u16) {
        field!(self.common, queue_select).write(queue);
    }

    /// The notification register of the selected queue, if it is where it may be.
    fn doorbell(&mut self) -> Option<UniqueMmioPointer<'static, WriteOnly<u16>>> {
        let steps = field_shared!(self.common, queue_notify_off).read();
        let offset = u32::from(steps).checked_mul(self.notify_multiplier)? as usize;
        let fits = offset.checked_add(size_of::<u16>())? <= self.notify.len();
        // SAFETY: within the mapped region.
        let register = fits.then(|| unsafe { self.notify.cast::<u8>().byte_add(offset) })?;
        let aligned = register.cast::<u16>().is_aligned();
        // SAFETY: mapped, aligned, and the device uses it for this queue alone, or takes the
        // number that is written for it.
        aligned.then(|| unsafe { UniqueMmioPointer::new(register.cast()) })
    }

    /// Whether the queue that was just set up has a notification register, and whether the device
    /// had the resources to route its interrupt (section 4.1.5.1.2.1).
    pub(crate) fn queue_works(&mut self, queue: u16) -> bool {
        self.select(queue);
        let routed = field_shared!(self.common, queue_msix_vector).read() == msix::VECTOR;
        routed && matches!(self.doorbells.get(usize::from(queue)), Some(Some(_)))
    }

    /// Where in the device's configuration a `T` is.
    fn place<T>(&self, offset: usize) -> Result<NonNull<T>> {
        let configuration = self.configuration.ok_or(Error::ConfigSpaceMissing)?;
        let end = offset.checked_add(size_of::<T>()).ok_or(Error::ConfigSpaceTooSmall)?;
        if end > configuration.len() {
            return Err(Error::ConfigSpaceTooSmall);
        }
        // SAFETY: within the mapped region.
        let place = unsafe { configuration.cast::<u8>().byte_add(offset) }.cast::<T>();
        if place.is_aligned() { Ok(place) } else { Err(Error::InvalidParam) }
    }
}

impl Transport for PciTransport {
    fn device_type(&self) -> DeviceType {
        self.kind.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        field!(self.common, device_feature_select).write(0);
        let low = field_shared!(self.common, device_feature).read();
        field!(self.common, device_feature_select).write(1);
        let high = field_shared!(self.common, device_feature).read();
        u64::from(high) << 32 | u64::from(low)
    }

    fn write_driver_features(&mut self, features: u64) {
        field!(self.common, driver_feature_select).write(0);
        field!(self.common, driver_feature).write(features as u32);
        field!(self.common, driver_feature_select).write(1);
        field!(self.common, driver_feature).write((features >> 32) as u32);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.select(queue);
        field_shared!(self.common, queue_size).read().into()
    }

    #[inline]
    fn notify(&mut self, queue: u16) {
        if let Some(Some(doorbell)) = self.doorbells.get_mut(usize::from(queue)) {
            doorbell.write(queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        let status = field_shared!(self.common, device_status).read();
        DeviceStatus::from_bits_truncate(status.into())
    }

    fn set_status(&mut self, status: DeviceStatus) {
        field!(self.common, device_status).write(status.bits() as u8);
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.select(queue);
        // A reset forgets the vectors, so they are set with each queue.
        field!(self.common, config_msix_vector).write(NO_VECTOR);
        field!(self.common, queue_size).write(size as u16);
        field!(self.common, queue_msix_vector).write(msix::VECTOR);
        write_address(field!(self.common, queue_desc), Address(descriptors));
        write_address(field!(self.common, queue_driver), Address(driver_area));
        write_address(field!(self.common, queue_device), Address(device_area));
        let doorbell = self.doorbell();
        if let Some(slot) = self.doorbells.get_mut(usize::from(queue)) {
            *slot = doorbell;
        }
        field!(self.common, queue_enable).write(1);
    }

    fn queue_unset(&mut self, _queue: u16) {
        // Only a reset of the device does that.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.select(queue);
        field_shared!(self.common, queue_enable).read() != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        // Messages need no acknowledgement.
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        field_shared!(self.common, config_generation).read().into()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let place = self.place::<ReadPure<T>>(offset)?;
        // SAFETY: mapped and aligned; reading the configuration changes nothing.
        Ok(unsafe { UniqueMmioPointer::new(place).read_unsafe() }.0)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<()> {
        let place = self.place::<WriteOnly<T>>(offset)?;
        // SAFETY: mapped and aligned, and nobody else accesses the configuration meanwhile.
        unsafe { UniqueMmioPointer::new(place) }.write(value);
        Ok(())
    }
}

fn write_address(mut halves: UniqueMmioPointer<'_, [ReadPureWrite<u32>; 2]>, address: Address) {
    let (low, high) = (address.0 as u32, (address.0 >> 32) as u32);
    for (index, half) in [low, high].into_iter().enumerate() {
        if let Some(mut register) = halves.get(index) {
            register.write(half);
        }
    }
}
