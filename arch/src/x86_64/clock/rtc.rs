//! The battery-backed clock of the PC (Motorola MC146818A), read once for the time of day.

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
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;
const VALID: u8 = 0x80;
const PM: u8 = 1 << 7;

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
            return decode(first, register(STATUS_B)).map(|seconds| seconds * 1_000_000_000);
        }
    }
    None
}

fn fields() -> [u8; 6] {
    [YEAR, MONTH, DAY, HOUR, MINUTE, SECOND].map(register)
}

/// Seconds since 1970.
fn decode(fields: [u8; 6], format: u8) -> Option<u64> {
    let number =
        |raw: u8| u64::from(if format & BINARY != 0 { raw } else { raw / 16 * 10 + raw % 16 });
    let [year, month, day, hour, minute, second] = fields;
    let hour = if format & HOURS_24 != 0 {
        number(hour)
    } else {
        number(hour & !PM) % 12 + if hour & PM != 0 { 12 } else { 0 }
    };
    let (month, day) = (number(month), number(day));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Two digits: this century, for which one year in four is a leap year without exception.
    let years = number(year) + 30;
    const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before = DAYS_BEFORE.get(month as usize - 1)?;
    let leap_day = u64::from((years + 2).is_multiple_of(4) && month > 2);
    let days = years * 365 + (years + 1) / 4 + before + leap_day + day - 1;
    Some(((days * 24 + hour) * 60 + number(minute)) * 60 + number(second))
}

fn register(index: u8) -> u8 {
    // SAFETY: reading the clock's registers 0 to 13, C excepted, changes nothing; NMIs, which bit 7
    // of the index masks, stay on.
    unsafe {
        PortWriteOnly::new(INDEX).write(index);
        Port::new(DATA).read()
    }
}
