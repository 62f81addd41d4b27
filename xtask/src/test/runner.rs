//! Running tests and telling how they went.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::case::{Case, Failure, Verdict};
use crate::run::interrupted;
use crate::ui;

/// How many tests have passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
}

/// Runs tests, and counts.
pub struct Runner {
    jobs: usize,
    list: bool,
    tally: Mutex<Tally>,
}

impl Runner {
    /// A runner of so many guests at a time, or one that only lists the tests.
    pub fn new(jobs: usize, list: bool) -> Self {
        Self { jobs: jobs.max(1), list, tally: Mutex::default() }
    }

    /// The count so far.
    pub fn tally(&self) -> Tally {
        *self.locked()
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
            Verdict::Skipped(reason) => println!("skip  {}: {reason}", case.name),
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
        assert_eq!(runner.tally(), Tally { passed: 12, failed: 0 });
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
        cases.push(Case::counting("skipped".into(), || Verdict::Skipped("no tool".into())));
        runner.side_by_side(cases);
        assert_eq!(runner.tally(), Tally { passed: 15, failed: 1 });
    }
}
