//! DFSR and IFSR in words: the long-descriptor format (ARM DDI 0406C B3.13.5).

use crate::arm::abort::{Abort, Access};

/// DFSR.WnR.
const WRITE: u32 = 1 << 11;
/// Bits of the status.
const STATUS: u32 = 0x3f;
/// The status of what comes without an address: asynchronous aborts (external, parity) and debug
/// events.
const NOWHERE: [u32; 3] = [0x11, 0x19, 0x22];

/// What DFSR says, and whether DFAR holds the address.
pub fn data_abort(dfsr: u32) -> (Abort, bool) {
    abort(if dfsr & WRITE != 0 { Access::Write } else { Access::Read }, dfsr)
}

/// What IFSR says, and whether IFAR holds the address.
pub fn prefetch_abort(ifsr: u32) -> (Abort, bool) {
    abort(Access::Fetch, ifsr)
}

fn abort(access: Access, register: u32) -> (Abort, bool) {
    let status = register & STATUS;
    (Abort { access, status }, !NOWHERE.contains(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DFSR.LPAE: the format is the long-descriptor one. No part of the status.
    const LONG: u32 = 1 << 9;

    #[test]
    fn data_aborts_are_told_in_words() {
        for (dfsr, words) in [
            (LONG | 0x07, "read from an unmapped page"),
            (LONG | WRITE | 0x05, "write to an unmapped page"),
            (LONG | WRITE | 0x0f, "write to a read-only page"),
            (LONG | 0x0f, "read from a page that may not be read"),
            (LONG | 0x0b, "read of a page whose access flag is clear"),
            (LONG | 0x21, "read at an address that is not aligned"),
            (LONG | 0x10, "read of something that does not answer (external abort)"),
            (LONG | WRITE | 0x35, "exclusive write of memory that does not support it"),
            (LONG | 0x2a, "read with fault status 0x2a"),
        ] {
            let (abort, has_address) = data_abort(dfsr);
            assert_eq!((abort.to_string().as_str(), has_address), (words, true), "{dfsr:#x}");
        }
    }

    #[test]
    fn fetches_are_told_in_words() {
        for (ifsr, words) in [
            (LONG | 0x07, "instruction fetch from an unmapped page"),
            (LONG | 0x0f, "instruction fetch from a page that is not executable"),
            (LONG | 0x15, "external abort during a translation table walk"),
        ] {
            let (abort, has_address) = prefetch_abort(ifsr);
            assert_eq!((abort.to_string().as_str(), has_address), (words, true), "{ifsr:#x}");
        }
    }

    #[test]
    fn what_comes_later_or_is_no_access_has_no_address() {
        // Asynchronous external abort, asynchronous parity error, debug event.
        for status in [0x11, 0x19, 0x22] {
            assert!(!data_abort(LONG | status).1, "{status:#x}");
            assert!(!prefetch_abort(LONG | status).1, "{status:#x}");
        }
    }
}
