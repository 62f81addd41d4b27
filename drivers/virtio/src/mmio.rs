//! Virtio devices at an address (Virtual I/O Device 1.2, section 4.2), found by device tree or on
//! the command line.

use core::ptr::NonNull;

use mayfly_arch::{Irq, PAGE_SIZE, PhysRange, VirtioMmio, mmu};
use safe_mmio::{UniqueMmioPointer, fields::ReadPure};
use virtio_drivers::transport::mmio::MmioTransport;

use crate::{
    FindError, StartError,
    device::{Device, Kind, Opened, Place},
    line::Line,
    transport::Transport,
};

/// Offsets of the registers `MagicValue`, `DeviceID` and `InterruptACK`.
const MAGIC: usize = 0;
const DEVICE_ID: usize = 8;
const INTERRUPT_ACK: usize = 0x64;

/// "virt", little-endian.
const MAGIC_VALUE: u32 = 0x7472_6976;

/// Offset of the device's own configuration, after the common registers.
const CONFIGURATION: u64 = 0x100;

/// The page of registers that was mapped last: QEMU puts eight devices on one.
#[derive(Default)]
pub struct MmioWindow {
    last: Option<(PhysRange, NonNull<u8>)>,
}

impl MmioWindow {
    /// A window with nothing mapped.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// Finds what is in `slot`: `None` if nothing is, or nothing that Mayfly has a driver for.
    ///
    /// # Errors
    /// Why a device that is there cannot be used.
    pub fn find(&mut self, slot: VirtioMmio) -> Result<Option<Device>, FindError> {
        let range = slot.registers;
        if range.size() < CONFIGURATION || !range.start().0.is_multiple_of(4) {
            return Err(FindError::Place);
        }
        let registers = self.map(range)?;
        let slot = Slot { registers, range, irq: slot.irq };
        if slot.read(MAGIC) != MAGIC_VALUE {
            return Err(FindError::NotVirtio);
        }
        let kind = Kind::of_device_id(slot.read(DEVICE_ID));
        Ok(kind.map(|kind| Device { kind, place: Place::Mmio(slot) }))
    }

    /// Maps the pages that hold `registers`, unless they are those of the last call.
    fn map(&mut self, registers: PhysRange) -> Result<NonNull<u8>, FindError> {
        let end = registers.end().frame_end().ok_or(FindError::Place)?;
        let pages = PhysRange::between(registers.start().frame_start(), end);
        let base = match self.last {
            Some((mapped, base)) if mapped == pages => base,
            _ => mmu::map_device(pages).map_err(FindError::Map)?,
        };
        self.last = Some((pages, base));
        let offset = registers.start().0 % PAGE_SIZE as u64;
        // SAFETY: the registers start within the first page that was mapped.
        Ok(unsafe { base.byte_add(offset as usize) })
    }
}

/// A device's registers: mapped for ever, at least [`CONFIGURATION`] bytes, 4-byte aligned.
#[derive(Debug)]
pub(crate) struct Slot {
    registers: NonNull<u8>,
    range: PhysRange,
    irq: Irq,
}

impl Slot {
    /// The physical address of the registers.
    pub(crate) fn address(&self) -> u64 {
        self.range.start().0
    }

    /// Reads an identification register.
    fn read(&self, offset: usize) -> u32 {
        // SAFETY: the registers are mapped and aligned; reading those that identify the device
        // changes nothing.
        unsafe {
            let register = self.registers.byte_add(offset).cast::<ReadPure<u32>>();
            UniqueMmioPointer::new(register).read_unsafe().0
        }
    }

    /// Takes the registers for a driver.
    pub(crate) fn open(self) -> Result<Opened, StartError> {
        let size = self.range.size() as usize;
        // SAFETY: the range was mapped as a device's registers, of which discovery says that they
        // are virtio-mmio; the crate reads the identification registers before it writes any.
        let transport = unsafe { MmioTransport::new(self.registers.cast(), size) };
        // SAFETY: within the mapped registers, 4-byte aligned like their start. The transport
        // writes this register only in `ack_interrupt`, which is not used.
        let line = unsafe { Line::level(self.registers.byte_add(INTERRUPT_ACK).cast()) };
        let transport = Transport::Mmio(transport.map_err(|_| StartError::Version)?);
        Ok(Opened { transport, irq: self.irq, line })
    }
}
