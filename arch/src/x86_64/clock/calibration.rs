//! Learns the rate of the TSC from a timer of known rate, while both do their work.
//!
//! The APIC timer counts nanoseconds, or tens of them on Xen, but is started anew for each deadline,
//! so no single reading tells the time since boot. Instead every stretch from one start to the next
//! gives a pair, ticks of the TSC and nanoseconds of the timer; the sums of the pairs give the rate,
//! and the moments between stretches, which belong to neither sum, do no harm.
//!
//! No reading of two clocks is sharp: between them the hypervisor may even stop the guest. But the TSC
//! before and after tells how sharp it is. So each sum carries its doubt, and a stretch counts only if
//! it makes the whole less doubtful. Arithmetic only, tested on the host.

use super::rate::Rate;

/// A counter that takes this long, in nanoseconds, has not started again when it is first looked at.
const LONG: u64 = 60_000_000_000;

/// One part of doubt in this many ticks is little enough: 0.1 µs a second.
const ENOUGH: u64 = 10_000_000;

/// One in this many is enough to tell how often a counter has started again.
const USEFUL: u64 = 8;

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
    /// Nanoseconds of a count.
    pub unit: u32,
    /// From zero the counter starts again; otherwise it stays there.
    pub again: bool,
}

/// What passed on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// On the TSC.
    ticks: u64,
    /// On the timer.
    nanoseconds: u64,
    /// How many ticks more or less it may be.
    doubt: u64,
}

impl Passed {
    const NOTHING: Self = Self { ticks: 0, nanoseconds: 0, doubt: 0 };

    /// The rate that this tells, if any.
    fn rate(&self) -> Option<Rate> {
        Rate::from_pair(self.nanoseconds, self.ticks)
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            ticks: self.ticks.saturating_add(other.ticks),
            nanoseconds: self.nanoseconds.saturating_add(other.nanoseconds),
            doubt: self.doubt.saturating_add(other.doubt),
        }
    }

    /// Whether the doubt is at most one part in `parts`.
    fn is_certain(&self, parts: u64) -> bool {
        self.ticks != 0 && u128::from(self.doubt) * u128::from(parts) <= self.ticks.into()
    }

    /// Whether the doubt is in smaller proportion than that of `other`.
    fn is_better(&self, other: &Self) -> bool {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        product(self.doubt, other.ticks) < product(other.doubt, self.ticks)
            || (other.ticks == 0 && self.is_certain(1))
    }
}

impl Stretch {
    /// What passed from the start to `end`. How often the counter has started again is found from
    /// what is `known`; `None` if that does not tell.
    fn until(&self, end: Reading, known: &Passed) -> Option<Passed> {
        let ticks = end.tsc.saturating_sub(self.start.tsc);
        let (initial, unit) = (self.start.count, u64::from(self.unit));
        let in_period = u64::from(initial.saturating_sub(end.count)).saturating_mul(unit);
        let period = (u64::from(initial) + 1).saturating_mul(unit);
        let nanoseconds = if !self.again {
            (end.count != 0).then_some(in_period)?
        } else if !known.is_certain(USEFUL) {
            (period >= LONG).then_some(in_period)?
        } else {
            let expected = known.rate()?.nanoseconds(ticks);
            let doubt = u128::from(expected) * u128::from(known.doubt) / u128::from(known.ticks);
            // Half a period would be ambiguous.
            if doubt > u128::from(period / 4) {
                return None;
            }
            let periods = (expected.saturating_sub(in_period) + period / 2) / period;
            in_period.checked_add(periods.checked_mul(period)?)?
        };
        // A count may be about to change when it is read.
        let count = ticks.saturating_mul(unit).checked_div(nanoseconds)?;
        let doubt = self.start.took.saturating_add(end.took).saturating_add(count);
        Some(Passed { ticks, nanoseconds, doubt })
    }
}

/// What is known so far.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// The stretches that count.
    sum: Passed,
    /// The sum, or the sum with a part of the stretch that goes on: what is least in doubt.
    best: Passed,
    stretch: Stretch,
}

impl Calibration {
    /// Starts with a stretch.
    pub const fn new(stretch: Stretch) -> Self {
        Self { sum: Passed::NOTHING, best: Passed::NOTHING, stretch }
    }

    /// The rate that is least in doubt, if there is one at all.
    pub fn rate(&self) -> Option<Rate> {
        self.best.rate()
    }

    /// Whether a counter that starts again can be understood.
    pub fn is_useful(&self) -> bool {
        self.best.is_certain(USEFUL)
    }

    /// Whether there is nothing more to learn.
    pub fn is_enough(&self) -> bool {
        self.best.is_certain(ENOUGH)
    }

    /// Looks at the stretch that goes on. Returns at how many ticks to look again.
    pub fn look(&mut self, now: Reading) -> u64 {
        match self.stretch.until(now, &self.best) {
            Some(passed) => {
                let sum = self.sum.plus(&passed);
                if sum.is_better(&self.best) {
                    self.best = sum;
                }
                // When half as much again has been seen.
                now.tsc.saturating_add(sum.ticks / 2)
            }
            // This stretch will not help; the next may.
            None => now.tsc.saturating_add(self.best.ticks / 2),
        }
    }

    /// Whether a reading at `tsc` could teach anything: if not, it need not be made.
    pub fn is_worth_a_look(&self, tsc: u64) -> bool {
        let ticks = tsc.saturating_sub(self.stretch.start.tsc);
        let sum = Passed { ticks, doubt: self.stretch.start.took, nanoseconds: 0 };
        sum.is_better(&self.best)
    }

    /// Ends the stretch, with a reading if that is worth it, and starts another.
    pub fn restart(&mut self, end: Option<Reading>, next: Stretch) {
        if let Some(passed) = end.and_then(|end| self.stretch.until(end, &self.best)) {
            let sum = self.sum.plus(&passed);
            if sum.is_better(&self.sum) {
                self.sum = sum;
            }
            if sum.is_better(&self.best) {
                self.best = sum;
            }
        }
        self.stretch = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a TSC of `hertz`.
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
        fn start(&mut self, initial: u32, unit: u32, again: bool, pauses: [u64; 2]) -> Stretch {
            let before = self.tsc();
            self.time += pauses[0];
            self.started = self.time;
            self.time += pauses[1];
            let took = self.tsc() - before;
            let start = Reading { tsc: before + took / 2, took, count: initial };
            Stretch { start, unit, again }
        }

        fn read(&self, stretch: &Stretch) -> Reading {
            let counts = (self.time - self.started) / u64::from(stretch.unit);
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

    /// Runs rounds of a deadline each, with a timer whose tick is so many nanoseconds: set for
    /// `set(round)`, replaced after `lasts(round)`.
    fn learn(
        (hertz, tick): (u64, u32),
        rounds: u64,
        set: impl Fn(u64) -> u32,
        lasts: impl Fn(u64) -> u64,
        pauses: impl Fn(u64) -> [u64; 2],
    ) -> Rate {
        let mut machine = Machine { hertz, time: 77, started: 0 };
        let mut stretch = machine.start(u32::MAX, 16 * tick, true, [100, 100]);
        let mut calibration = Calibration::new(stretch);
        machine.time += 300_000;
        calibration.look(machine.read(&stretch));
        assert!(error(calibration.rate().unwrap(), hertz) < 0.001);
        for round in 0..rounds {
            machine.time += lasts(round);
            let end = machine.read(&stretch);
            let initial = set(round);
            stretch = machine.start(initial / tick, tick, initial > 1_000_000, pauses(round));
            calibration.restart(Some(end), stretch);
        }
        calibration.rate().unwrap()
    }

    #[test]
    fn the_rate_is_found_across_deadlines() {
        let machines = [10_000_000, 1_000_000_000, 2_893_202_001, 5_700_000_000];
        for (hertz, tick) in machines.into_iter().flat_map(|hertz| [(hertz, 1), (hertz, 10)]) {
            let set = |round| if round % 3 == 0 { 999_999 } else { 20_000_000 };
            let lasts = |round| 1_000_000 * (round % 7) + 12_345;
            let rate = learn((hertz, tick), 4000, set, lasts, |_| [300, 300]);
            assert!(error(rate, hertz) < 1e-5, "{hertz}, {tick}: {}", error(rate, hertz));
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
        let rate = learn((hertz, 1), 10_000, |_| 3_000_000, |_| 300_000, pauses);
        assert!(error(rate, hertz) < 0.002, "{}", error(rate, hertz));
    }

    #[test]
    fn deadlines_that_are_always_reached_teach() {
        let hertz = 2_600_000_000;
        let rate = learn((hertz, 1), 500, |_| 3_000_000, |_| 3_010_000, |_| [300, 300]);
        assert!(error(rate, hertz) < 1e-4, "{}", error(rate, hertz));
    }

    #[test]
    fn an_ambiguous_stretch_is_left_out() {
        let start = Reading { tsc: 0, took: 0, count: 999 };
        let at = |tsc, count| Reading { tsc, took: 0, count };
        let again = Stretch { start, unit: 1, again: true };
        let known = Passed { ticks: 1_000_000, nanoseconds: 1_000_000, doubt: 1000 };
        assert_eq!(again.until(at(1_000_000, 500), &known), None);
        assert_eq!(again.until(at(499, 500), &Passed::NOTHING), None);
        let passed = Passed { ticks: 1_499, nanoseconds: 1_499, doubt: 1 };
        assert_eq!(again.until(at(1_499, 500), &known), Some(passed));
        let once = Stretch { again: false, ..again };
        assert_eq!(once.until(at(1_499, 0), &known), None);
    }

    #[test]
    fn odd_readings_do_not_overflow() {
        let readings = [(0, 0, 0), (u64::MAX, u64::MAX, u32::MAX), (u64::MAX, 0, 1), (1, 1, 1)]
            .map(|(tsc, took, count)| Reading { tsc, took, count });
        for again in [false, true] {
            let units = [1, 128, 1280].into_iter();
            for (unit, first) in units.flat_map(|unit| readings.map(|reading| (unit, reading))) {
                let stretch = |start| Stretch { start, unit, again };
                let mut calibration = Calibration::new(stretch(first));
                for end in readings.into_iter().flat_map(|end| [first, end, end]) {
                    calibration.look(end);
                    calibration.is_worth_a_look(end.tsc);
                    calibration.restart(Some(end), stretch(end));
                    calibration.rate();
                }
            }
        }
    }
}
