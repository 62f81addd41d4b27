//! Memory faults in words. The fault status codes of AArch64 (ARM DDI 0487 D19.2.37, ISS of data
//! aborts) and those of ARMv7's long-descriptor format (ARM DDI 0406C B3.13.5) are the same.

use core::fmt;

/// What the processor was about to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Execute.
    Fetch,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Fetch => "instruction fetch",
        })
    }
}

/// An access that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// What it was.
    pub access: Access,
    /// Bits 5 to 0 of the fault status.
    pub status: u32,
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access, status } = self;
        match (status, access) {
            (0x00..=0x03, _) => write!(f, "{access} at an address that is too large"),
            (0x04..=0x07, Access::Write) => f.write_str("write to an unmapped page"),
            (0x04..=0x07, _) => write!(f, "{access} from an unmapped page"),
            (0x08..=0x0b, _) => write!(f, "{access} of a page whose access flag is clear"),
            (0x0c..=0x0f, Access::Write) => f.write_str("write to a read-only page"),
            (0x0c..=0x0f, Access::Fetch) => {
                f.write_str("instruction fetch from a page that is not executable")
            }
            (0x0c..=0x0f, Access::Read) => f.write_str("read from a page that may not be read"),
            (0x10, _) => write!(f, "{access} of something that does not answer (external abort)"),
            (0x11, _) => f.write_str("write to something that does not answer (external abort)"),
            (0x13..=0x17, _) => f.write_str("external abort during a translation table walk"),
            (0x18..=0x1f, _) => write!(f, "{access} of memory with a parity or ECC error"),
            (0x21, _) => write!(f, "{access} at an address that is not aligned"),
            (0x22, _) => f.write_str("debug event or breakpoint instruction (bkpt)"),
            (0x30, _) => f.write_str("TLB conflict"),
            (0x35, _) => write!(f, "exclusive {access} of memory that does not support it"),
            _ => write!(f, "{access} with fault status {status:#x}"),
        }
    }
}
