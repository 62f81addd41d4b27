//! A test.

use std::fmt;

/// A test, or a set of tests that cannot be told apart before they have run.
pub struct Case {
    /// What it is called: parts with slashes between them, the general first.
    pub name: String,
    /// Runs it. Called once for each time that it is run.
    pub work: Box<dyn Fn() -> Verdict + Send + Sync>,
}

/// What came out.
#[derive(Debug)]
pub enum Verdict {
    /// So many tests have passed, and none has failed.
    Passed(usize),
    /// Some have failed.
    Failed(Failure),
    /// It could not be run here, for this reason; that is no failure, unless all have to be run.
    Skipped(String),
    /// The same of one that needs a nightly toolchain, which nobody has to have; that is never a
    /// failure.
    Optional(String),
}

/// Tests that have failed.
#[derive(Debug)]
pub struct Failure {
    /// How many have passed nevertheless.
    pub passed: usize,
    /// How many have failed.
    pub failed: usize,
    /// Why, in a line.
    pub reason: String,
    /// What was printed last, by the guest or the test.
    pub output: String,
}

impl Failure {
    /// One test that has failed.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { passed: 0, failed: 1, reason: reason.to_string(), output: String::new() }
    }

    /// The same, with what was printed.
    pub fn with_output(self, output: String) -> Self {
        Self { output, ..self }
    }
}

impl Case {
    /// A test that passes if `work` returns no failure.
    pub fn new(
        name: String,
        work: impl Fn() -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self::counting(name, move || match work() {
            Ok(()) => Verdict::Passed(1),
            Err(failure) => Verdict::Failed(failure),
        })
    }

    /// A set of tests that counts itself.
    pub fn counting(name: String, work: impl Fn() -> Verdict + Send + Sync + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }

    /// A test that is known to have failed, since what it needs could not be made.
    pub fn failing(name: &str, reason: &str) -> Self {
        let reason = reason.to_owned();
        Self::new(name.to_owned(), move || Err(Failure::new(&reason)))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format_args!("{error:#}"))
    }
}
