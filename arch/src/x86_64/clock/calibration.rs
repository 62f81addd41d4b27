//! Learns the rate of the TSC from a timer of known rate, while both do their work.
//!
//! The APIC timer counts nanoseconds but is started anew for each deadline, so no single reading
//! tells the time since boot. Instead every stretch from one start to the next gives a pair, ticks of
//! the TSC and nanoseconds of the timer; the sums of all pairs give the rate, and the moments between
//! stretches, which belong to neither sum, do no harm. Arithmetic only, tested on the host.

use super::rate::Rate;

/// Stretches shorter than this, in nanoseconds, are not counted: how long it takes to read the clocks
/// would show in the result. At first all are short, so a fraction of the sum will do as well.
const SHORT: u64 = 1_000_000;
const SHORT_FRACTION: u64 = 16;

/// Nor are stretches whose ends are less certain than this fraction of them: the hypervisor may have
/// stopped the guest between reading one clock and the other.
pub const CERTAIN_FRACTION: u64 = 256;

/// A counter that takes this long, in nanoseconds, has not started again when it is first looked at.
const LONG: u64 = 60_000_000_000;

/// Nanoseconds after which the rate is known well enough: reading the clocks takes about 10^-6 s.
const ENOUGH: u64 = 16_000_000_000;

/// A moment at which both clocks were dealt with.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The TSC in the middle of it.
    pub tsc: u64,
    /// How many ticks it took.
    pub took: u64,
    /// The counter of the timer.
    pub count: u32,
}

/// The timer counting, from one start to the next.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// When it started, and the count that it started with.
    pub start: Reading,
    /// A count is 2^shift nanoseconds.
    pub shift: u32,
    /// From zero the counter starts again; otherwise it stays there.
    pub again: bool,
}

/// Ticks of the TSC and nanoseconds that passed meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub ticks: u64,
    pub nanoseconds: u64,
}

impl Stretch {
    /// What passed from the start to `end`. How often the counter has started again is found from
    /// `rate`; without one, only a counter that cannot have is believed.
    fn until(&self, end: Reading, rate: Option<Rate>) -> Option<Passed> {
        let ticks = end.tsc.saturating_sub(self.start.tsc);
        let initial = self.start.count;
        let in_period = u64::from(initial.saturating_sub(end.count)) << self.shift;
        if !self.again {
            return (end.count != 0).then_some(Passed { ticks, nanoseconds: in_period });
        }
        let period = (u64::from(initial) + 1) << self.shift;
        let Some(rate) = rate else {
            return (period >= LONG).then_some(Passed { ticks, nanoseconds: in_period });
        };
        let expected = rate.nanoseconds(ticks);
        // Half a period would be ambiguous; the rate is taken to be right within 1/64.
        if expected / 64 > period / 4 {
            return None;
        }
        let periods = (expected.saturating_sub(in_period) + period / 2) / period;
        Some(Passed { ticks, nanoseconds: in_period.checked_add(periods.checked_mul(period)?)? })
    }

    /// Whether the ends are sharp enough for what is between them.
    fn is_certain(&self, end: Reading) -> bool {
        let doubt = self.start.took.saturating_add(end.took);
        doubt <= end.tsc.saturating_sub(self.start.tsc) / CERTAIN_FRACTION
    }
}

/// What is known so far.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// All stretches that count.
    sum: Passed,
    /// The rate, once there was a certain reading.
    rate: Option<Rate>,
    stretch: Stretch,
}

impl Calibration {
    /// Starts with a stretch.
    pub const fn new(stretch: Stretch) -> Self {
        Self { sum: Passed { ticks: 0, nanoseconds: 0 }, rate: None, stretch }
    }

    /// The rate, if it is certain. Until then a counter that starts again teaches nothing.
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Ends the stretch and starts another.
    pub fn restart(&mut self, end: Reading, next: Stretch) {
        if let Some(sum) = self.learn(end)
            && sum.nanoseconds - self.sum.nanoseconds
                >= SHORT.min(self.sum.nanoseconds / SHORT_FRACTION)
        {
            self.sum = sum;
        }
        self.stretch = next;
    }

    /// Looks at the stretch that goes on. Returns all that passed, if that is certain; `rate` has
    /// been adapted to it then.
    pub fn learn(&mut self, now: Reading) -> Option<Passed> {
        let passed = self.stretch.until(now, self.rate)?;
        if !self.stretch.is_certain(now) {
            return None;
        }
        let sum = Passed {
            ticks: self.sum.ticks.checked_add(passed.ticks)?,
            nanoseconds: self.sum.nanoseconds.checked_add(passed.nanoseconds)?,
        };
        self.rate = Some(Rate::from_pair(sum.nanoseconds, sum.ticks)?);
        Some(sum)
    }

    /// What passed since the start of the stretch, certain or not.
    pub fn guess(&self, now: Reading) -> Option<Passed> {
        self.stretch.until(now, self.rate)
    }
}

impl Passed {
    /// Whether this tells the rate well enough for good.
    pub fn suffices(&self) -> bool {
        self.nanoseconds >= ENOUGH
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

        /// Starts the timer between two readings of the TSC, with these pauses between.
        fn start(&mut self, initial: u32, shift: u32, again: bool, pauses: [u64; 2]) -> Stretch {
            let before = self.tsc();
            self.time += pauses[0];
            self.started = self.time;
            self.time += pauses[1];
            let took = self.tsc() - before;
            let start = Reading { tsc: before + took / 2, took, count: initial };
            Stretch { start, shift, again }
        }

        fn read(&self, stretch: &Stretch) -> Reading {
            let counts = (self.time - self.started) >> stretch.shift;
            let initial = u64::from(stretch.start.count);
            let count = if stretch.again {
                initial - counts % (initial + 1)
            } else {
                initial.saturating_sub(counts)
            };
            Reading { tsc: self.tsc(), took: 0, count: count as u32 }
        }
    }

    fn error(rate: Rate, hertz: u64) -> f64 {
        (rate.nanoseconds(hertz) as f64 / 1e9 - 1.0).abs()
    }

    /// Runs rounds of a deadline each: set for `set(round)`, replaced after `lasts(round)`.
    fn learn(
        hertz: u64,
        rounds: u64,
        set: impl Fn(u64) -> u32,
        lasts: impl Fn(u64) -> u64,
        pauses: impl Fn(u64) -> [u64; 2],
    ) -> Rate {
        let mut machine = Machine { hertz, time: 77, started: 0 };
        let mut stretch = machine.start(u32::MAX, 4, true, [100, 100]);
        let mut calibration = Calibration::new(stretch);
        machine.time += 300_000;
        calibration.learn(machine.read(&stretch)).unwrap();
        assert!(error(calibration.rate().unwrap(), hertz) < 0.001);
        for round in 0..rounds {
            machine.time += lasts(round);
            let end = machine.read(&stretch);
            let initial = set(round);
            stretch = machine.start(initial, 0, initial > 1_000_000, pauses(round));
            calibration.restart(end, stretch);
        }
        calibration.rate().unwrap()
    }

    #[test]
    fn the_rate_is_found_across_deadlines() {
        for hertz in [10_000_000, 1_000_000_000, 2_893_202_001, 5_700_000_000] {
            let set = |round| if round % 3 == 0 { 999_999 } else { 20_000_000 };
            let lasts = |round| 1_000_000 * (round % 7) + 12_345;
            let rate = learn(hertz, 4000, set, lasts, |_| [300, 300]);
            assert!(error(rate, hertz) < 1e-5, "{hertz}: {}", error(rate, hertz));
        }
    }

    #[test]
    fn a_guest_that_is_often_stopped_learns_no_wrong_rate() {
        let hertz = 2_600_000_000;
        let pauses = |round| match round % 50 {
            7 => [20_000_000, 300],
            19 => [300, 20_000_000],
            _ => [300, 300],
        };
        let rate = learn(hertz, 10_000, |_| 3_000_000, |_| 300_000, pauses);
        assert!(error(rate, hertz) < 0.002, "{}", error(rate, hertz));
    }

    #[test]
    fn an_ambiguous_stretch_is_left_out() {
        let start = Reading { tsc: 0, took: 0, count: 999 };
        let again = Stretch { start, shift: 0, again: true };
        let rate = Rate::from_hertz(1_000_000_000);
        assert_eq!(again.until(Reading { tsc: 499, took: 0, count: 500 }, None), None);
        let at = |tsc, count| Reading { tsc, took: 0, count };
        assert_eq!(again.until(at(10_000_000, 500), rate), None);
        let passed = Some(Passed { ticks: 1_499, nanoseconds: 1_499 });
        assert_eq!(again.until(at(1_499, 500), rate), passed);
        let once = Stretch { again: false, ..again };
        assert_eq!(once.until(at(1_499, 0), rate), None);
    }

    #[test]
    fn odd_readings_do_not_overflow() {
        let readings = [(0, 0, 0), (u64::MAX, u64::MAX, u32::MAX), (u64::MAX, 0, 1), (1, 1, 1)]
            .map(|(tsc, took, count)| Reading { tsc, took, count });
        for again in [false, true] {
            for (shift, first) in [0, 4, 7].into_iter().flat_map(|s| readings.map(|r| (s, r))) {
                let stretch = |start| Stretch { start, shift, again };
                let mut calibration = Calibration::new(stretch(first));
                for end in readings.into_iter().flat_map(|end| [first, end, end]) {
                    calibration.guess(end);
                    calibration.learn(end);
                    calibration.restart(end, stretch(end));
                }
            }
        }
    }
}
