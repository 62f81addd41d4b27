//! From the fields of a PC's real-time clock to seconds. Arithmetic only, tested on the host.

// Status register B: how the fields are encoded.
const BINARY: u8 = 1 << 2;
const HOURS_24: u8 = 1 << 1;

/// In the hour of a clock of 12 hours.
const PM: u8 = 1 << 7;

/// Days of a year before each month, leap days aside.
const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// Seconds since 1970 of year (two digits, of this century), month, day, hour, minute and second, as
/// they are in the clock whose status register B is `format`. `None` if there is no such time.
pub fn seconds(fields: [u8; 6], format: u8) -> Option<u64> {
    let number =
        |raw: u8| u64::from(if format & BINARY != 0 { raw } else { raw / 16 * 10 + raw % 16 });
    let [year, month, day, hour, minute, second] = fields;
    let hour = if format & HOURS_24 != 0 {
        number(hour)
    } else {
        number(hour & !PM) % 12 + if hour & PM != 0 { 12 } else { 0 }
    };
    let (year, month, day) = (number(year), number(month), number(day));
    let before = DAYS_BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    if !(1..=31).contains(&day) || year > 99 || hour > 23 {
        return None;
    }
    // From 1970 to 2099 one year in four has a leap day; 2000 did.
    let years = year + 30;
    let leap_days = (years + 1) / 4 + u64::from(year.is_multiple_of(4) && month > 2);
    let days = years * 365 + leap_days + before + day - 1;
    Some(((days * 24 + hour) * 60 + number(minute)) * 60 + number(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        // date -u -d '…' +%s
        let binary = BINARY | HOURS_24;
        assert_eq!(seconds([0, 1, 1, 0, 0, 0], binary), Some(946_684_800));
        assert_eq!(seconds([24, 2, 29, 23, 59, 59], binary), Some(1_709_251_199));
        assert_eq!(seconds([24, 3, 1, 0, 0, 0], binary), Some(1_709_251_200));
        assert_eq!(seconds([99, 12, 31, 0, 0, 0], binary), Some(4_102_358_400));
        assert_eq!(seconds([0x26, 0x11, 0x21, 0x12, 0x34, 0x56], HOURS_24), Some(1_795_264_496));
    }

    #[test]
    fn a_clock_of_twelve_hours() {
        let at = |hour| seconds([0x26, 1, 1, hour, 0, 0], 0);
        assert_eq!(at(0x12), seconds([0x26, 1, 1, 0, 0, 0], HOURS_24));
        assert_eq!(at(0x12 | PM), seconds([0x26, 1, 1, 0x12, 0, 0], HOURS_24));
        assert_eq!(at(0x11 | PM), seconds([0x26, 1, 1, 0x23, 0, 0], HOURS_24));
    }

    #[test]
    fn no_fields_overflow() {
        for byte in 0..=u8::MAX {
            for format in [0, BINARY, HOURS_24, BINARY | HOURS_24] {
                seconds([byte; 6], format);
            }
        }
        assert_eq!(seconds([0xff; 6], 0xff), None);
        assert_eq!(seconds([1, 0, 1, 0, 0, 0], HOURS_24), None);
    }
}
