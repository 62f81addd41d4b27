//! The battery-backed clock of the PC (Motorola MC146818A), read once for the time of day.

use super::calendar;
use x86_64::instructions::port::{Port, PortWriteOnly};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

// Registers.
const SECOND: u8 = 0;
const MINUTE: u8 = 2;
const HOUR: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const STATUS_A: u8 = 10;
const STATUS_B: u8 = 11;
const STATUS_D: u8 = 13;

const UPDATING: u8 = 1 << 7;
const VALID: u8 = 0x80;

/// Reads until two are the same. An update takes about 2 ms once a second; a read of all registers
/// takes longer than a microsecond.
const TRIES: u32 = 10_000;

/// Nanoseconds since 1970, to the second, if there is such a clock. It is taken to be UTC.
pub(super) fn read() -> Option<u64> {
    // An absent clock reads as ones, whose low bits no real one has.
    if register(STATUS_D) != VALID {
        return None;
    }
    for _ in 0..TRIES {
        if register(STATUS_A) & UPDATING != 0 {
            continue;
        }
        let first = fields();
        if register(STATUS_A) & UPDATING == 0 && fields() == first {
            return calendar::seconds(first, register(STATUS_B))
                .map(|seconds| seconds * 1_000_000_000);
        }
    }
    None
}

fn fields() -> [u8; 6] {
    [YEAR, MONTH, DAY, HOUR, MINUTE, SECOND].map(register)
}

fn register(index: u8) -> u8 {
    // SAFETY: reading the clock's registers 0 to 13, C excepted, changes nothing; NMIs, which bit 7
    // of the index masks, stay on.
    unsafe {
        PortWriteOnly::new(INDEX).write(index);
        Port::new(DATA).read()
    }
}
