//! The formats of page tables: that of x86-64 (Intel SDM volume 3, 4.5), and ARM's long descriptors
//! with pages of 4 KiB on AArch64 (ARM DDI 0487 D8.3) and ARMv7 (ARM DDI 0406C B3.6).

use super::walk::{Entry, Format, Rights};

/// The bits of an entry that hold an address. What it covers is a power of two, and its low bits may
/// mean something else.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
pub const ADDRESS_ARM: u64 = 0x0000_ffff_ffff_f000;

/// x86-64 with four levels, write protection in supervisor mode (CR0.WP) and no-execute (EFER.NXE).
pub struct X86;

impl Format for X86 {
    fn bits(&self) -> u32 {
        48
    }

    fn address(&self, bits: u64) -> u64 {
        // All bits from the 47th on are equal.
        if bits >> 47 == 0 { bits } else { bits | !0 << 48 }
    }

    fn entry(&self, entry: u64, shift: u32, is_last: bool) -> Entry {
        const PRESENT: u64 = 1 << 0;
        const WRITABLE: u64 = 1 << 1;
        const LARGE: u64 = 1 << 7;
        const NO_EXECUTE: u64 = 1 << 63;
        /// Entries of the first level are never pages.
        const FIRST: u32 = 39;
        let rights = Rights { write: entry & WRITABLE != 0, execute: entry & NO_EXECUTE == 0 };
        if entry & PRESENT == 0 {
            Entry::Invalid
        } else if is_last || (entry & LARGE != 0 && shift != FIRST) {
            Entry::Memory(entry & ADDRESS & (!0 << shift), rights)
        } else {
            Entry::Table(entry & ADDRESS, rights)
        }
    }
}

/// ARM's long descriptors, all addresses through TTBR0.
pub struct Arm {
    /// Bits of an address that are translated.
    pub bits: u32,
    /// Whether a bit of its own (PXN) is all that matters to the kernel, and another one (UXN) only
    /// to user mode. On ARMv7 that other one (XN) is for both.
    pub is_64_bit: bool,
}

impl Format for Arm {
    fn bits(&self) -> u32 {
        self.bits
    }

    fn address(&self, bits: u64) -> u64 {
        bits
    }

    fn entry(&self, entry: u64, shift: u32, is_last: bool) -> Entry {
        const READ_ONLY: u64 = 1 << 7;
        /// In a descriptor of memory, and in that of a table.
        const NEVER: [u64; 2] = [1 << 54, 1 << 60];
        const NEVER_PRIVILEGED: [u64; 2] = [1 << 53, 1 << 59];
        const TABLE_READ_ONLY: u64 = 1 << 62;
        // Whoever may execute it: that nobody is in user mode is not believed here.
        let execute = |kind: usize| {
            entry & NEVER[kind] == 0 || (self.is_64_bit && entry & NEVER_PRIVILEGED[kind] == 0)
        };
        match (entry & 0b11, is_last) {
            (0b11, true) | (0b01, false) => {
                let rights = Rights { write: entry & READ_ONLY == 0, execute: execute(0) };
                Entry::Memory(entry & ADDRESS_ARM & (!0 << shift), rights)
            }
            (0b11, false) => {
                let rights = Rights { write: entry & TABLE_READ_ONLY == 0, execute: execute(1) };
                Entry::Table(entry & ADDRESS_ARM, rights)
            }
            _ => Entry::Invalid,
        }
    }
}
