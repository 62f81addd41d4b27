//! ARM PrimeCell UART (ARM DDI 0183, chapter 3), and the generic UART, which has some of its
//! registers (ARM DEN 0029, appendix "Generic UART").

use core::ptr::NonNull;

use safe_mmio::UniqueMmioPointer;

use crate::{Causes, Registers};

/// Offsets of the registers that are used.
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const CONTROL: usize = 0x30;
const INTERRUPT_MASK: usize = 0x38;

/// Bytes from the first register to the last that is used.
pub(crate) const SIZE: u64 = 0x48;

const FLAG_RECEIVE_EMPTY: u32 = 1 << 4;
const FLAG_TRANSMIT_FULL: u32 = 1 << 5;

/// UART, transmitter and receiver on.
const CONTROL_ON: u32 = 1 | 1 << 8 | 1 << 9;

/// Received: the FIFO is at its level, or has waited for some time below it.
const INTERRUPT_RECEIVE: u32 = 1 << 4 | 1 << 6;
const INTERRUPT_TRANSMIT: u32 = 1 << 5;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The whole.
    Pl011,
    /// It has no control registers, and is on. To write one would be a fault.
    Sbsa,
}

/// The registers.
pub(crate) struct Pl011 {
    base: NonNull<u32>,
    kind: Kind,
}

// SAFETY: the pointer is to device registers, which are accessed by single reads and writes only.
unsafe impl Send for Pl011 {}
// SAFETY: as above.
unsafe impl Sync for Pl011 {}

impl Pl011 {
    /// The UART whose registers are at `base`.
    ///
    /// # Safety
    /// [`SIZE`] bytes from there are the registers of a UART of this kind, mapped for ever.
    pub(crate) const unsafe fn new(base: NonNull<u32>, kind: Kind) -> Self {
        Self { base, kind }
    }

    fn register(&self, offset: usize) -> NonNull<u32> {
        // SAFETY: the offsets above are within the registers, which `new` was promised.
        unsafe { self.base.byte_add(offset) }
    }

    fn get(&self, offset: usize) -> u32 {
        // SAFETY: mapped as `new` was promised; the registers of this crate allow reading.
        unsafe { UniqueMmioPointer::new(self.register(offset)).read_unsafe() }
    }

    fn set(&self, offset: usize, value: u32) {
        // SAFETY: as above, for writing.
        unsafe { UniqueMmioPointer::new(self.register(offset)).write_unsafe(value) }
    }
}

impl Registers for Pl011 {
    fn initialise(&self) {
        self.set(INTERRUPT_MASK, 0);
        if self.kind == Kind::Pl011 {
            self.set(CONTROL, CONTROL_ON);
        }
    }

    fn read(&self) -> Option<u8> {
        if self.get(FLAGS) & FLAG_RECEIVE_EMPTY != 0 {
            return None;
        }
        // The bits above the byte tell of line errors, which a virtual line does not have.
        Some(self.get(DATA) as u8)
    }

    fn room(&self) -> usize {
        usize::from(self.get(FLAGS) & FLAG_TRANSMIT_FULL == 0)
    }

    fn write(&self, byte: u8) {
        self.set(DATA, byte.into());
    }

    fn interrupt_for(&self, causes: Causes) {
        let receive = if causes.readable { INTERRUPT_RECEIVE } else { 0 };
        let transmit = if causes.writable { INTERRUPT_TRANSMIT } else { 0 };
        self.set(INTERRUPT_MASK, receive | transmit);
    }
}
