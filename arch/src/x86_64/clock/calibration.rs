//! Learns the rate of the TSC from a timer of known rate, while both do their work.
//!
//! The APIC timer counts nanoseconds but is started anew for each deadline, so no single reading
//! tells the time since boot. Instead every stretch from one start to the next gives a pair, ticks of
//! the TSC and nanoseconds of the timer; the sums of all pairs give the rate, and the moments between
//! stretches, which belong to neither sum, do no harm. Arithmetic only, tested on the host.

use super::rate::Rate;

/// Stretches shorter than this, in nanoseconds, are not counted: what it costs to read the clocks
/// would show in the result. At first all are short, so a fraction of the sum will do as well.
const SHORT: u64 = 1_000_000;
const SHORT_FRACTION: u64 = 16;

/// Nanoseconds after which the rate is known well enough: reading the clocks takes about 10^-6 s.
const ENOUGH: u64 = 16_000_000_000;

/// The timer counting, from one start to the next.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// The TSC when it started.
    pub start: u64,
    /// The count that it started with. From zero it starts with it again.
    pub initial: u32,
    /// A count is 2^shift nanoseconds.
    pub shift: u32,
}

impl Stretch {
    /// Ticks and nanoseconds from the start to the moment when the TSC was `tsc` and the counter at
    /// `count`. How often the counter has started again is found from `rate`; `None` if that is too
    /// uncertain. Without a rate, it has not.
    fn until(&self, tsc: u64, count: u32, rate: Option<Rate>) -> Option<(u64, u64)> {
        let ticks = tsc.saturating_sub(self.start);
        let period = (u64::from(self.initial) + 1) << self.shift;
        let in_period = u64::from(self.initial.saturating_sub(count)) << self.shift;
        let Some(rate) = rate else { return Some((ticks, in_period)) };
        let expected = rate.nanoseconds(ticks);
        // Half a period would be ambiguous; the rate is taken to be right within 1/64.
        if expected / 64 > period / 4 {
            return None;
        }
        let periods = (expected.saturating_sub(in_period) + period / 2) / period;
        Some((ticks, in_period.checked_add(periods.checked_mul(period)?)?))
    }
}

/// What is known so far.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    ticks: u64,
    nanoseconds: u64,
    stretch: Stretch,
}

impl Calibration {
    /// Starts with a stretch.
    pub const fn new(stretch: Stretch) -> Self {
        Self { ticks: 0, nanoseconds: 0, stretch }
    }

    /// Ends the stretch with a reading of TSC and counter, and starts another.
    pub fn restart(&mut self, tsc: u64, count: u32, rate: Option<Rate>, next: Stretch) {
        if let Some((ticks, nanoseconds)) = self.stretch.until(tsc, count, rate)
            && (nanoseconds >= SHORT || nanoseconds >= self.nanoseconds / SHORT_FRACTION)
        {
            self.ticks = self.ticks.saturating_add(ticks);
            self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
        }
        self.stretch = next;
    }

    /// The sums, the stretch that goes on included, if a reading of TSC and counter helps.
    pub fn sums(&self, tsc: u64, count: u32, rate: Option<Rate>) -> (u64, u64) {
        let (ticks, nanoseconds) = self.stretch.until(tsc, count, rate).unwrap_or((0, 0));
        (self.ticks.saturating_add(ticks), self.nanoseconds.saturating_add(nanoseconds))
    }

    /// Whether that many nanoseconds suffice.
    pub fn suffices(nanoseconds: u64) -> bool {
        nanoseconds >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a TSC of `hertz` and a timer of 1 GHz.
    struct Machine {
        hertz: u64,
        time: u64,
        started: u64,
    }

    impl Machine {
        fn tsc(&self) -> u64 {
            (u128::from(self.time) * u128::from(self.hertz) / 1_000_000_000) as u64
        }

        fn start(&mut self, initial: u32, shift: u32) -> Stretch {
            self.started = self.time;
            Stretch { start: self.tsc(), initial, shift }
        }

        fn count(&self, stretch: &Stretch) -> u32 {
            let counts = (self.time - self.started) >> stretch.shift;
            (u64::from(stretch.initial) - counts % (u64::from(stretch.initial) + 1)) as u32
        }
    }

    fn error(rate: Rate, hertz: u64) -> f64 {
        (rate.nanoseconds(hertz) as f64 / 1e9 - 1.0).abs()
    }

    #[test]
    fn the_rate_is_found_across_deadlines() {
        for hertz in [10_000_000, 1_000_000_000, 2_893_202_001, 5_700_000_000] {
            let mut machine = Machine { hertz, time: 77, started: 0 };
            let mut stretch = machine.start(u32::MAX, 4);
            let mut calibration = Calibration::new(stretch);
            machine.time += 300_000;
            let (ticks, ns) = calibration.sums(machine.tsc(), machine.count(&stretch), None);
            let mut rate = Rate::from_pair(ns, ticks).unwrap();
            assert!(error(rate, hertz) < 0.001);
            for round in 0..4000_u64 {
                // Deadlines that pass, and ones that are replaced before they do.
                let lasts = 1_000_000 * (round % 7) + 12_345;
                machine.time += lasts;
                let (tsc, count) = (machine.tsc(), machine.count(&stretch));
                machine.time += 700;
                stretch = machine.start(if round % 3 == 0 { 999_999 } else { 20_000_000 }, 0);
                calibration.restart(tsc, count, Some(rate), stretch);
                let (ticks, ns) =
                    calibration.sums(machine.tsc(), machine.count(&stretch), Some(rate));
                rate = Rate::from_pair(ns, ticks).unwrap();
            }
            assert!(error(rate, hertz) < 1e-6, "{hertz}: {}", error(rate, hertz));
        }
    }

    #[test]
    fn an_ambiguous_stretch_is_left_out() {
        let stretch = Stretch { start: 0, initial: 999, shift: 0 };
        let rate = Rate::from_hertz(1_000_000_000).unwrap();
        assert_eq!(stretch.until(10_000_000, 500, Some(rate)), None);
        assert_eq!(stretch.until(1_499, 500, Some(rate)), Some((1_499, 1_499)));
    }

    #[test]
    fn odd_readings_do_not_overflow() {
        let stretch = Stretch { start: u64::MAX, initial: u32::MAX, shift: 7 };
        let mut calibration = Calibration::new(stretch);
        for rate in [None, Rate::from_hertz(1), Rate::from_hertz(u64::MAX)] {
            for (tsc, count) in [(0, 0), (u64::MAX, u32::MAX), (1, 1)] {
                calibration.restart(tsc, count, rate, Stretch { start: 0, initial: 0, shift: 0 });
                calibration.sums(tsc, count, rate);
            }
        }
    }
}
