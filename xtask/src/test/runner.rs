//! Running tests and telling how they went.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::case::{Case, Failure, Verdict};
use crate::run::interrupted;
use crate::ui;

/// How many tests have passed and failed, and which could not be run. Its `Display` is what a run
/// ends with: `N passed, N failed`, and a line before it if tests were skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Neither, since they could not be run: how many, by the reason.
    skipped: BTreeMap<String, usize>,
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a test that could not be run, for this reason.
    pub fn skip(&mut self, reason: &str) {
        let reason = reason.lines().collect::<Vec<_>>().join(" ");
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Counts what `other` has counted, too.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.skipped.is_empty() {
            let reasons = self.skipped.iter().map(|(reason, count)| format!("{reason} ({count})"));
            let reasons = reasons.collect::<Vec<_>>().join("; ");
            writeln!(f, "{} skipped: {reasons}", self.skipped.values().sum::<usize>())?;
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs tests, and counts.
pub struct Runner {
    jobs: usize,
    list: bool,
    /// Whether a test that cannot be run has failed.
    no_skips: bool,
    tally: Mutex<Tally>,
}

impl Runner {
    /// A runner of so many guests at a time, or one that only lists the tests.
    pub fn new(jobs: usize, list: bool) -> Self {
        Self { jobs: jobs.max(1), list, no_skips: false, tally: Mutex::default() }
    }

    /// The same, for which a test that cannot be run here has failed, if `no_skips`; but one that
    /// is optional has not.
    pub fn with_no_skips(self, no_skips: bool) -> Self {
        Self { no_skips, ..self }
    }

    /// The count so far.
    pub fn tally(&self) -> Tally {
        self.locked().clone()
    }

    /// Runs tests one after the other: those that use the whole machine.
    pub fn one_by_one(&mut self, cases: Vec<Case>) {
        for case in cases {
            if !self.list {
                ui::progress("Testing", &case.name);
            }
            self.run(vec![vec![case]], 1);
        }
    }

    /// Runs several tests at a time.
    pub fn side_by_side(&mut self, cases: Vec<Case>) {
        self.run(cases.into_iter().map(|case| vec![case]).collect(), self.jobs);
    }

    /// Runs several groups of tests at a time. Those of a group are run one after the other by one
    /// thread, as long as which lives what the first of them has started.
    pub fn groups(&mut self, groups: Vec<Vec<Case>>) {
        self.run(groups, self.jobs);
    }

    fn run(&self, groups: Vec<Vec<Case>>, jobs: usize) {
        if self.list {
            groups.iter().flatten().for_each(|case| println!("{}", case.name));
            return;
        }
        let count = groups.iter().flatten().count();
        let done = AtomicUsize::new(0);
        let jobs = jobs.min(groups.len());
        let groups = Mutex::new(groups.into_iter());
        let next = || groups.lock().unwrap_or_else(PoisonError::into_inner).next();
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(group) = next() {
                        for case in group {
                            if interrupted() {
                                return;
                            }
                            done.fetch_add(1, Ordering::Relaxed);
                            self.run_one(&case);
                        }
                    }
                });
            }
        });
        // What has not been run has not passed.
        self.locked().failed += count - done.into_inner();
    }

    /// Runs a test, prints how it went, and counts.
    fn run_one(&self, case: &Case) {
        let start = Instant::now();
        let verdict = (case.work)();
        let seconds = start.elapsed().as_secs_f32();
        let mut tally = self.locked();
        match verdict {
            Verdict::Passed(count) => {
                tally.passed += count;
                let tests = if count == 1 { String::new() } else { format!("{count} tests, ") };
                println!("pass  {} ({tests}{seconds:.1} s)", case.name);
            }
            Verdict::Skipped(reason) if self.no_skips => {
                tally.failed += 1;
                let reason = format_args!("it cannot be run here, and all have to be: {reason}");
                print_failure(case, &Failure::new(reason), seconds);
            }
            Verdict::Skipped(reason) | Verdict::Optional(reason) => {
                tally.skip(&reason);
                println!("skip  {}: {reason}", case.name);
            }
            Verdict::Failed(failure) => {
                tally.passed += failure.passed;
                tally.failed += failure.failed.max(1);
                print_failure(case, &failure, seconds);
            }
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Tally> {
        // A test that panicked has left the count as it was.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints what is known of a failure. The count is locked, so no other test prints in between.
fn print_failure(case: &Case, failure: &Failure, seconds: f32) {
    println!("FAIL  {} ({seconds:.1} s): {}", case.name, failure.reason);
    for line in failure.output.lines() {
        println!("      | {line}");
    }
    println!("      run it again: cargo xtask test {}", case.name);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_cases_of_a_group_share_a_thread_and_keep_their_order() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let case = |group: usize, number: usize| {
            let seen = Arc::clone(&seen);
            Case::new(format!("{group}/{number}"), move || {
                seen.lock().unwrap().push((group, number, thread::current().id()));
                Ok(())
            })
        };
        let groups = (0..4).map(|group| (0..3).map(|number| case(group, number)).collect());
        let mut runner = Runner::new(2, false);
        runner.groups(groups.collect());
        assert_eq!(runner.tally().to_string(), "12 passed, 0 failed");
        let seen = seen.lock().unwrap();
        for group in 0..4 {
            let of_group: Vec<_> = seen.iter().filter(|(of, ..)| *of == group).collect();
            assert!(of_group.iter().map(|(_, number, _)| *number).eq(0..3));
            assert!(of_group.iter().all(|(.., thread)| *thread == of_group[0].2));
        }
    }

    #[test]
    fn every_case_is_run_once_and_counted() {
        let mut runner = Runner::new(3, false);
        let mut cases: Vec<Case> =
            (0..10).map(|n| Case::new(format!("passes/{n}"), || Ok(()))).collect();
        cases.push(Case::failing("fails", "on purpose"));
        cases.push(Case::counting("many".into(), || Verdict::Passed(5)));
        runner.side_by_side(cases);
        assert_eq!(runner.tally().to_string(), "15 passed, 1 failed");
    }

    /// Two tests that cannot be run for one reason, one that is optional, and one that passes.
    fn with_skips() -> Vec<Case> {
        let skipped = |name: &str| {
            Case::counting(name.into(), || Verdict::Skipped("no tool;\nget one".into()))
        };
        let optional = || Verdict::Optional("no nightly".into());
        vec![
            skipped("a"),
            skipped("b"),
            Case::counting("c".into(), optional),
            Case::new("d".into(), || Ok(())),
        ]
    }

    #[test]
    fn what_was_skipped_is_told_before_the_last_line() {
        let mut runner = Runner::new(1, false);
        runner.side_by_side(with_skips());
        let told = "3 skipped: no nightly (1); no tool; get one (2)\n1 passed, 0 failed";
        assert_eq!(runner.tally().to_string(), told);
        assert!(!runner.tally().is_empty() && Tally::default().is_empty());
    }

    #[test]
    fn where_all_have_to_be_run_a_skip_is_a_failure() {
        let mut runner = Runner::new(1, false).with_no_skips(true);
        runner.side_by_side(with_skips());
        let told = "1 skipped: no nightly (1)\n1 passed, 2 failed";
        assert_eq!(runner.tally().to_string(), told);
    }

    #[test]
    fn only_skips_are_something_too() {
        let mut runner = Runner::new(1, false);
        runner.side_by_side(with_skips().into_iter().take(1).collect());
        assert!(!runner.tally().is_empty());
    }

    #[test]
    fn tallies_add_up() {
        let mut runner = Runner::new(1, false);
        runner.side_by_side(with_skips());
        let mut sum = Tally { passed: 1, failed: 2, ..Tally::default() };
        sum.skip("no nightly");
        sum.add(runner.tally());
        let told = "4 skipped: no nightly (2); no tool; get one (2)\n2 passed, 2 failed";
        assert_eq!(sum.to_string(), told);
    }
}
