//! The IO-APIC: brings device lines to the local APIC (Intel 82093AA).

use safe_mmio::{
    UniqueMmioPointer, field,
    fields::{ReadPureWrite, WriteOnly},
};

use super::{apic, mmu};
use crate::{PAGE_SIZE, PhysAddr, PhysRange};

#[repr(C)]
struct Registers {
    select: WriteOnly<u32>,
    _reserved: [u32; 3],
    window: ReadPureWrite<u32>,
}

// Indices of registers behind the window.
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;

// Redirection entry, low half. Lines of QEMU's devices stay up until the device is quieted, ISA
// ones included, so all of them are taken as level-triggered: unlike an edge, a level is not lost
// while its line is disabled. Polarity: active high, which is also what QEMU assumes.
const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;

/// Most lines that an IO-APIC of the emulated kind has.
pub(super) const MAX_LINES: u32 = 24;

/// One IO-APIC.
pub(super) struct IoApic {
    registers: UniqueMmioPointer<'static, Registers>,
    lines: u32,
}

impl IoApic {
    /// The IO-APIC at `address`, with all lines disabled; `None` if there is none.
    ///
    /// # Safety
    /// Nothing else uses these registers.
    pub(super) unsafe fn new(address: PhysAddr) -> Result<Option<Self>, mmu::MapError> {
        let range = PhysRange::new(address, PAGE_SIZE as u64).ok_or(mmu::MapError::BadRange)?;
        let page = mmu::map_device(range)?;
        // SAFETY: a page of device memory, mapped for good, that the caller leaves to this.
        let registers = unsafe { UniqueMmioPointer::new(page.cast()) };
        let mut this = Self { registers, lines: 0 };
        let version = this.read(VERSION);
        if version == 0 || version == u32::MAX {
            return Ok(None);
        }
        this.lines = ((version >> 16 & 0xff) + 1).min(MAX_LINES);
        for line in 0..this.lines {
            this.write(REDIRECTION + 2 * line, MASKED | LEVEL);
            this.write(REDIRECTION + 2 * line + 1, u32::from(apic::id()) << 24);
        }
        Ok(Some(this))
    }

    /// Delivers `line` as `vector`, if there is such a line.
    pub(super) fn enable(&mut self, line: u32, vector: u8) {
        if line < self.lines {
            self.write(REDIRECTION + 2 * line, LEVEL | u32::from(vector));
        }
    }

    /// Delivers `line` no more.
    pub(super) fn disable(&mut self, line: u32, vector: u8) {
        if line < self.lines {
            self.write(REDIRECTION + 2 * line, MASKED | LEVEL | u32::from(vector));
        }
    }

    fn read(&mut self, index: u32) -> u32 {
        field!(self.registers, select).write(index);
        field!(self.registers, window).read()
    }

    fn write(&mut self, index: u32, value: u32) {
        field!(self.registers, select).write(index);
        field!(self.registers, window).write(value);
    }
}
