//! ESR_EL1, in words (ARM DDI 0487 D19.2.37).

use core::fmt;

use crate::arm::abort::{Abort, Access};

/// The syndrome of an exception.
#[derive(Clone, Copy)]
pub struct Syndrome(u64);

/// Exception classes: bits 31 to 26.
mod class {
    pub const UNKNOWN: u64 = 0x00;
    pub const FLOATING_POINT: u64 = 0x07;
    pub const ILLEGAL_STATE: u64 = 0x0e;
    pub const SVC: u64 = 0x15;
    pub const HVC: u64 = 0x16;
    pub const SMC: u64 = 0x17;
    pub const SYSTEM_REGISTER: u64 = 0x18;
    pub const SVE: u64 = 0x19;
    pub const INSTRUCTION_ABORT: u64 = 0x21;
    pub const PC_ALIGNMENT: u64 = 0x22;
    pub const DATA_ABORT: u64 = 0x25;
    pub const SP_ALIGNMENT: u64 = 0x26;
    pub const BREAKPOINT: u64 = 0x31;
    pub const STEP: u64 = 0x33;
    pub const WATCHPOINT: u64 = 0x35;
    pub const BRK: u64 = 0x3c;
}

impl Syndrome {
    /// The value that was in the register.
    pub fn new(value: u64) -> Self {
        Self(value)
    }

    fn class(self) -> u64 {
        self.0 >> 26 & 0x3f
    }

    /// Whether FAR_EL1 holds the address that could not be accessed.
    pub fn has_address(self) -> bool {
        const ADDRESS_NOT_VALID: u64 = 1 << 10;
        match self.class() {
            class::INSTRUCTION_ABORT | class::DATA_ABORT => self.0 & ADDRESS_NOT_VALID == 0,
            class::PC_ALIGNMENT | class::WATCHPOINT => true,
            _ => false,
        }
    }
}

impl fmt::Display for Syndrome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WRITE: u64 = 1 << 6;
        const STATUS: u64 = 0x3f;
        let access = if self.class() == class::INSTRUCTION_ABORT {
            Access::Fetch
        } else if self.0 & WRITE != 0 {
            Access::Write
        } else {
            Access::Read
        };
        f.write_str(match self.class() {
            class::UNKNOWN => "undefined instruction",
            class::FLOATING_POINT | class::SVE => {
                "floating-point or vector instruction, which images do without"
            }
            class::ILLEGAL_STATE => "illegal execution state",
            class::SVC => "supervisor call (svc) with nobody to answer it",
            class::HVC => "hypervisor call (hvc) with nobody to answer it",
            class::SMC => "secure monitor call (smc) with nobody to answer it",
            class::SYSTEM_REGISTER => "access to a system register that is not available",
            class::INSTRUCTION_ABORT | class::DATA_ABORT => {
                return Abort { access, status: (self.0 & STATUS) as u32 }.fmt(f);
            }
            class::PC_ALIGNMENT => "jump to an address that is not a multiple of 4",
            class::SP_ALIGNMENT => "stack pointer that is not a multiple of 16",
            class::BREAKPOINT => "hardware breakpoint",
            class::STEP => "single step",
            class::WATCHPOINT => "watchpoint",
            class::BRK => "breakpoint instruction (brk)",
            other => return write!(f, "exception of class {other:#x}, syndrome {:#x}", self.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The syndrome of a class, with bits of its own.
    fn syndrome(class: u64, own: u64) -> Syndrome {
        // IL: the instruction has 32 bits. No part of the cause.
        Syndrome::new(class << 26 | 1 << 25 | own)
    }

    #[test]
    fn aborts_are_told_in_words() {
        const WRITE: u64 = 1 << 6;
        for (class, own, words) in [
            (class::DATA_ABORT, 0x07, "read from an unmapped page"),
            (class::DATA_ABORT, WRITE | 0x0f, "write to a read-only page"),
            (class::DATA_ABORT, 0x21, "read at an address that is not aligned"),
            // What is bit 6 there means nothing here.
            (class::INSTRUCTION_ABORT, WRITE | 0x07, "instruction fetch from an unmapped page"),
            (
                class::INSTRUCTION_ABORT,
                0x0f,
                "instruction fetch from a page that is not executable",
            ),
        ] {
            assert_eq!(syndrome(class, own).to_string(), words);
            assert!(syndrome(class, own).has_address());
            assert!(!syndrome(class, own | 1 << 10).has_address());
        }
    }

    #[test]
    fn other_classes_are_told_in_words() {
        for (class, words, has_address) in [
            (class::UNKNOWN, "undefined instruction", false),
            (class::PC_ALIGNMENT, "jump to an address that is not a multiple of 4", true),
            (class::SP_ALIGNMENT, "stack pointer that is not a multiple of 16", false),
            (class::BRK, "breakpoint instruction (brk)", false),
            (0x2f, "exception of class 0x2f, syndrome 0xbe000000", false),
        ] {
            assert_eq!(syndrome(class, 0).to_string(), words);
            assert_eq!(syndrome(class, 0).has_address(), has_address, "{words}");
        }
    }
}
