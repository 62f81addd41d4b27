//! Converts between ticks of a counter and nanoseconds, without dividing.

const SECOND: u64 = 1_000_000_000;

/// The rate of a counter, as the factors that conversions multiply with.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Nanoseconds of a tick, times 2^`shift`, rounded down; 32 bits, of which the first is 1.
    pub tick: u64,
    /// Bits behind the binary point of `tick`.
    pub shift: u32,
    /// 2^94 / `tick`, rounded up: the inverse of the rounded factor, so that both directions agree.
    pub inverse: u64,
}

impl Rate {
    /// The rate of a counter with `frequency` ticks per second, at least one.
    pub const fn new(frequency: u32) -> Self {
        let frequency = if frequency == 0 { 1 } else { frequency as u64 };
        let tick = (SECOND << 32) / frequency;
        // As it stands, 2^32 / 5 <= tick < 2^62.
        let bits = u64::BITS - tick.leading_zeros();
        let (tick, shift) = if bits > 32 {
            (tick >> (bits - 32), 64 - bits)
        } else {
            (tick << (32 - bits), 64 - bits)
        };
        let (high, rest) = ((1 << 62) / tick, (1 << 62) % tick);
        let inverse = (high << 32) + (rest << 32) / tick + 1;
        Self { tick, shift, inverse }
    }

    /// The time that `ticks` take, in nanoseconds, rounded down.
    pub const fn nanoseconds(self, ticks: u64) -> u64 {
        ((ticks as u128 * self.tick as u128) >> self.shift) as u64
    }

    /// The number of ticks after which at least `nanoseconds` have passed; saturates.
    pub const fn ticks(self, nanoseconds: u64) -> u64 {
        let ticks = ((nanoseconds as u128 * self.inverse as u128) >> (94 - self.shift)) + 1;
        if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    const DAY: u64 = 86_400_000_000_000;
    const FREQUENCIES: [u32; 6] =
        [62_500_000, 24_000_000, 19_200_000, 1_000_000_000, 1, 4_294_967_295];

    #[test]
    fn a_second_takes_as_many_ticks_as_the_frequency_says() {
        for frequency in FREQUENCIES {
            let rate = Rate::new(frequency);
            let second = rate.nanoseconds(u64::from(frequency));
            assert!((999_999_999..=1_000_000_000).contains(&second), "{frequency}: {second}");
        }
        assert_eq!(Rate::new(62_500_000).nanoseconds(3), 48);
    }

    #[test]
    fn a_deadline_has_passed_once_its_ticks_have() {
        for frequency in FREQUENCIES {
            let rate = Rate::new(frequency);
            for deadline in [0, 1, 15, 16, 17, 999, 1_000_000_007, DAY, 365 * DAY + 1] {
                let ticks = rate.ticks(deadline);
                assert!(rate.nanoseconds(ticks) >= deadline, "{frequency}: {deadline}");
                let early = rate.nanoseconds(ticks.saturating_sub(2));
                assert!(early <= deadline, "{frequency}: {deadline} {early}");
            }
        }
    }

    #[test]
    fn the_farthest_deadline_saturates() {
        assert_eq!(Rate::new(u32::MAX).ticks(u64::MAX), u64::MAX);
    }
}
