//! From ticks of a counter to nanoseconds and back. Arithmetic only, tested on the host.

/// Nanoseconds in 2^32 ticks. With counters of 10 MHz to 10 GHz it is exact to a few parts in 10^9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

/// Bits after the binary point.
const SHIFT: u32 = 32;

const NANOSECONDS: u64 = 1_000_000_000;

impl Rate {
    /// The rate of a counter of `hertz`, or `None` if that is below 1 Hz or beyond reason.
    pub fn from_hertz(hertz: u64) -> Option<Self> {
        Self::from_pair(NANOSECONDS, hertz)
    }

    /// The rate of a counter that took `ticks` in `nanoseconds`. `None` if there were none, or fewer
    /// than one a second.
    pub fn from_pair(nanoseconds: u64, ticks: u64) -> Option<Self> {
        let quotient = (u128::from(nanoseconds) << SHIFT).checked_div(ticks.into())?;
        let longest = u128::from(NANOSECONDS) << SHIFT;
        (1..=longest).contains(&quotient).then_some(Self(quotient as u64))
    }

    /// The rate that a paravirtual clock states: `ns = (ticks << shift) * multiplier >> 32`, a
    /// negative shift to the right.
    pub fn from_paravirtual(multiplier: u32, shift: i8) -> Option<Self> {
        let multiplier = u64::from(multiplier);
        let rate = match u32::from(shift.unsigned_abs()) {
            amount @ 0..32 if shift >= 0 => multiplier << amount,
            amount @ 0..32 => multiplier >> amount,
            _ => 0,
        };
        (rate != 0).then_some(Self(rate))
    }

    /// Ticks in nanoseconds, rounded down.
    pub fn nanoseconds(self, ticks: u64) -> u64 {
        let product = u128::from(ticks) * u128::from(self.0);
        u64::try_from(product >> SHIFT).unwrap_or(u64::MAX)
    }

    /// Ticks that take at least this many nanoseconds.
    pub fn ticks(self, nanoseconds: u64) -> u64 {
        let ticks = (u128::from(nanoseconds) << SHIFT) / u128::from(self.0.max(1));
        u64::try_from(ticks + 1).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds() {
        let rate = Rate::from_hertz(2_500_000_000).unwrap();
        assert_eq!(rate.nanoseconds(2_500_000_000), 999_999_999);
        assert!(rate.nanoseconds(rate.ticks(123_456_789)) >= 123_456_788);
        assert_eq!(Rate::from_hertz(1_000_000_000).unwrap().nanoseconds(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_year_is_exact_to_a_second() {
        let rate = Rate::from_hertz(3_000_000_000).unwrap();
        let year = 365 * 86_400 * NANOSECONDS;
        assert!(rate.nanoseconds(3 * year).abs_diff(year) < NANOSECONDS);
    }

    #[test]
    fn nonsense_has_no_rate() {
        assert_eq!(Rate::from_hertz(0), None);
        assert_eq!(Rate::from_pair(u64::MAX, 1), None);
        assert_eq!(Rate::from_pair(0, 1), None);
        assert_eq!(Rate::from_paravirtual(0, 0), None);
        assert_eq!(Rate::from_paravirtual(1, i8::MIN), None);
        assert_eq!(Rate::from_paravirtual(u32::MAX, 31).map(|rate| rate.0 >> 62), Some(1));
        assert_eq!(Rate::from_paravirtual(1 << 31, -1), Some(Rate(1 << 30)));
    }
}
