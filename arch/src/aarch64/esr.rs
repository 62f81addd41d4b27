//! ESR_EL1, in words (ARM DDI 0487 D19.2.37).

use core::fmt;

use aarch64_cpu::registers::{ESR_EL1, Readable};

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

/// What an abort is about.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
    Fetch,
}

impl Syndrome {
    /// The value that was in the register.
    pub fn new(value: u64) -> Self {
        Self(value)
    }

    /// The syndrome of the last exception.
    pub fn current() -> Self {
        Self(ESR_EL1.get())
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
        let write = self.0 & WRITE != 0;
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
            class::INSTRUCTION_ABORT => return abort(f, self.0, Access::Fetch),
            class::DATA_ABORT if write => return abort(f, self.0, Access::Write),
            class::DATA_ABORT => return abort(f, self.0, Access::Read),
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

/// Describes an abort by its fault status code, bits 5 to 0.
fn abort(f: &mut fmt::Formatter<'_>, syndrome: u64, access: Access) -> fmt::Result {
    let verb = match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Fetch => "instruction fetch",
    };
    let status = syndrome & 0x3f;
    match (status, access) {
        (0x04..=0x07, Access::Write) => f.write_str("write to an unmapped page"),
        (0x04..=0x07, _) => write!(f, "{verb} from an unmapped page"),
        (0x0c..=0x0f, Access::Write) => f.write_str("write to a read-only page"),
        (0x0c..=0x0f, Access::Fetch) => {
            f.write_str("instruction fetch from a page that is not executable")
        }
        (0x0c..=0x0f, Access::Read) => f.write_str("read from a page that may not be read"),
        (0x00..=0x03, _) => write!(f, "{verb} at an address that is too large"),
        (0x08..=0x0b, _) => write!(f, "{verb} of a page whose access flag is clear"),
        (0x10, _) => write!(f, "{verb} of something that does not answer (external abort)"),
        (0x13..=0x17, _) => f.write_str("external abort during a translation table walk"),
        (0x18..=0x1f, _) => write!(f, "{verb} of memory with a parity or ECC error"),
        (0x21, _) => write!(f, "{verb} at an address that is not aligned"),
        (0x30, _) => f.write_str("TLB conflict"),
        (0x35, _) => write!(f, "exclusive {verb} of memory that does not support it"),
        _ => write!(f, "{verb} with fault status {status:#x}"),
    }
}
