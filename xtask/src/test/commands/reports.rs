//! The report of a guest that dies, with places in the source: by `run`, and by `symbolize` later.

use std::fs::{self, File};

use anyhow::{Context, Result, ensure};

use super::typed::{Typed, xtask};
use crate::temporary::TemporaryFile;

/// A guest that panics, with the same image each time.
const GUEST: [&str; 3] = ["guests/panic_report", "--seed", "1"];

/// The exit status of one that has panicked.
const PANICKED: i32 = 101;

/// Where it says itself that it has.
const PLACE: &str = "    at tests/guests/src/bin/panic_report.rs:";

/// How the lines begin that are added to a report, and one of them, but for the line of the source.
const ADDED: &str = "        at ";
const CALLER: (&str, &str) =
    ("        at tests/guests/src/bin/panic_report.rs:", " in panic_report::outer");

/// `run` adds places to the report of a guest that panics, and ends as it does. `symbolize` makes the
/// same of the bare report and the image, which can be built again.
pub fn are_symbolized() -> Result<()> {
    let run = Typed::new(&[&["run"], &GUEST[..]].concat())?.end()?.with(PANICKED)?.saying(PLACE)?;
    let is_caller = |line: &str| line.starts_with(CALLER.0) && line.trim_end().ends_with(CALLER.1);
    ensure!(run.stdout.lines().any(is_caller), "no place of a caller is added:\n{}", run.stdout);

    let bare = run.stdout.split_inclusive('\n').filter(|line| !line.starts_with(ADDED));
    let report = TemporaryFile::new("report")?;
    fs::write(report.path(), bare.collect::<String>())?;
    let built = Typed::new(&[&["build"], &GUEST[..]].concat())?.end()?.with(0)?.stdout;
    let image = built.trim_end();
    let file = report.path().to_str().context("a path is not UTF-8")?;
    let of_file = Typed::new(&["symbolize", image, file])?;
    let of_input = Typed::start(xtask(&["symbolize", image])?, File::open(report.path())?.into())?;
    for symbolize in [of_file, of_input] {
        let ended = symbolize.end()?.with(0)?;
        ensure!(ended.stdout == run.stdout, "`symbolize` makes of it:\n{}", ended.text);
    }
    Ok(())
}
