//! Tests that run on this machine: `cargo test` of every crate that can.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::Result;

use super::case::{Case, Failure, Verdict};
use crate::app::{self, cargo};
use crate::{paths, tools};

/// Lines of cargo's output that a failure shows.
const TAIL: usize = 60;

/// A case for each crate of the workspace that has tests for here.
pub fn cases() -> Result<Vec<Case>> {
    let packages = packages()?;
    Ok(packages
        .into_iter()
        .map(|package| Case::counting(format!("host/{package}"), move || run(&package)))
        .collect())
}

/// The crates: members of the workspace that have unit tests. That nothing was tested is no pass.
fn packages() -> Result<Vec<String>> {
    let metadata = app::metadata(&paths::repository().join("Cargo.toml"))?;
    let mut names: Vec<String> = app::list(&metadata["packages"])
        .iter()
        .filter(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
            manifest.parent().is_some_and(has_tests)
        })
        .filter_map(|package| Some(package["name"].as_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Whether a source in a crate's directory has a test. Crates within it count for themselves.
fn has_tests(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            path.file_name().is_some_and(|name| name != "target")
                && !path.join("Cargo.toml").exists()
                && has_tests(&path)
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && fs::read_to_string(&path).is_ok_and(|text| has_test(&text))
        }
    })
}

fn has_test(source: &str) -> bool {
    source.lines().any(|line| line.trim_start().starts_with("#[test]"))
}

/// Runs the tests of a crate, the examples in its documentation included.
fn run(package: &str) -> Verdict {
    let mut command = cargo();
    command.args(["test", "--quiet", "--no-fail-fast", "--package", package]);
    if package == "xtask" {
        command.args(["--profile", "xtask"]);
    }
    command.current_dir(paths::repository()).stderr(Stdio::piped());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Verdict::Failed(Failure::new(error)),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let (passed, failed) = count(&text);
    if output.status.success() {
        return Verdict::Passed(passed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let all: Vec<&str> = text.lines().chain(errors.lines()).collect();
    let tail = all.get(all.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n");
    let reason = format!("`{}` failed", tools::describe(&command));
    Verdict::Failed(Failure { passed, failed: failed.max(1), reason, output: tail })
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; …`.
pub fn count(output: &str) -> (usize, usize) {
    let number_before = |line: &str, word: &str| {
        let (before, _) = line.split_once(word)?;
        before.trim_end().rsplit(' ').next()?.parse::<usize>().ok()
    };
    output
        .lines()
        .filter(|line| line.starts_with("test result:"))
        .map(|line| {
            (number_before(line, "passed").unwrap_or(0), number_before(line, "failed").unwrap_or(0))
        })
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let output = "running 3 tests\n...\n\
            test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count(output), (7, 2));
        assert_eq!(count(""), (0, 0));
    }

    #[test]
    fn the_crates_are_those_that_have_tests() {
        let packages = packages().unwrap();
        let is_there = |name: &str| packages.iter().any(|package| package == name);
        assert!(is_there("xtask") && is_there("mayfly-macros") && is_there("recorder"));
        assert!(!is_there("guests") && !is_there("hello"));
    }
}
