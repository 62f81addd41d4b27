//! Virtio devices at an address (Virtual I/O Device 1.2, section 4.2), found by device tree or on
//! the command line.

use alloc::boxed::Box;
use core::ptr::NonNull;

use mayfly_arch::{PAGE_SIZE, PhysRange, VirtioMmio, mmu};
use virtio_drivers::transport::{
    DeviceTypeError,
    mmio::{MmioError, MmioTransport},
};

use crate::{
    StartError, Started,
    line::Line,
    start::{Interrupt, start},
    transport::Transport,
};

/// Offset of the `InterruptACK` register.
const INTERRUPT_ACK: u64 = 0x64;

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

    /// Starts the driver for what is in `slot`, or returns `None` if nothing is in it, or nothing
    /// that Mayfly has a driver for.
    ///
    /// # Errors
    /// Why the driver cannot be started.
    pub fn start(&mut self, slot: VirtioMmio) -> Result<Option<Started>, StartError> {
        let size = slot.registers.size();
        let aligned = slot.registers.start().0.is_multiple_of(4);
        if size < CONFIGURATION || !aligned {
            return Err(StartError::NotVirtio(MmioError::MmioRegionTooSmall));
        }
        let registers = self.map(slot.registers)?;
        // SAFETY: the range was mapped as a device's registers, of which discovery says that they
        // are virtio-mmio; the crate reads the identification registers before it writes any.
        match unsafe { MmioTransport::new(registers.cast(), size as usize) } {
            Ok(transport) => {
                // SAFETY: within the mapped registers, 4-byte aligned like their start. The
                // transport writes this register only in `ack_interrupt`, which is not used.
                let line =
                    unsafe { Line::level(registers.byte_add(INTERRUPT_ACK as usize).cast()) };
                let interrupt = Interrupt { irq: slot.irq, line: Box::leak(Box::new(line)) };
                start(Transport::Mmio(transport), interrupt)
            }
            Err(MmioError::InvalidDeviceID(DeviceTypeError::InvalidDeviceType(_))) => Ok(None),
            Err(error) => Err(StartError::NotVirtio(error)),
        }
    }

    /// Maps the pages that hold `registers`, unless they are those of the last call.
    fn map(&mut self, registers: PhysRange) -> Result<NonNull<u8>, StartError> {
        let end = registers.end().frame_end().ok_or(StartError::Map)?;
        let pages = PhysRange::between(registers.start().frame_start(), end);
        let base = match self.last {
            Some((mapped, base)) if mapped == pages => base,
            _ => mmu::map_device(pages).map_err(|_| StartError::Map)?,
        };
        self.last = Some((pages, base));
        let offset = registers.start().0 % PAGE_SIZE as u64;
        // SAFETY: the registers start within the first page that was mapped.
        Ok(unsafe { base.byte_add(offset as usize) })
    }
}
