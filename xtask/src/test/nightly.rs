//! Checks that need a nightly toolchain, where one is installed: Miri and fuzzing, both bounded, and
//! why examples do not compile. The product never needs one, and what they find is kept as tests that
//! run on stable.

use std::process::{Command, Output, Stdio};

use super::case::{Case, Failure, Verdict};
use crate::doctor::first_line;
use crate::{cargo_tools, paths, setup, tools};

/// What Miri interprets: a crate with unsafe code that runs on the host, and the tests of it.
#[derive(Clone, Copy)]
struct Interpreted {
    package: &'static str,
    /// All if none are named.
    tests: &'static [&'static str],
    /// Memory is leaked on purpose: what another side may still use, or shared pages of tests.
    leaks: bool,
}

const MIRI: [Interpreted; 4] = [
    Interpreted { package: "mayfly-device", tests: &[], leaks: false },
    Interpreted { package: "mayfly", tests: &["memory::"], leaks: false },
    Interpreted {
        package: "mayfly-virtio",
        tests: &["queue::", "ring::", "buffers::", "block::", "console::", "entropy::"],
        leaks: true,
    },
    Interpreted {
        package: "mayfly-xen",
        tests: &["byte_ring::", "front_ring::", "shared_page::", "entry::", "foreign::"],
        leaks: true,
    },
];

/// Crates with examples that must not compile. Stable sees to that, but does not look whether it is
/// for the error that an example names.
const REFUSING: [&str; 1] = ["mayfly-xen"];

/// Seconds for which Miri is run for a crate, and each fuzz target. Interpreting is a hundred times
/// slower than running, so not all tests may get their turn.
const MIRI_SECONDS: u32 = 150;
const FUZZ_SECONDS: u32 = 10;

/// What runs the fuzz targets, and the compiler of its library.
const FUZZER: &str = "cargo-fuzz";
const FUZZER_NEEDS: &str = "g++";

/// Exit status of timeout(1) when the time is up.
const TIME_IS_UP: i32 = 124;

/// Miri for each crate, a run of each fuzz target, and the examples that must not compile.
pub fn cases() -> Vec<Case> {
    let miri = MIRI
        .iter()
        .map(|&what| Case::counting(format!("miri/{}", what.package), move || miri(what)));
    let fuzz = fuzz_targets()
        .into_iter()
        .map(|target| Case::counting(format!("fuzz/{target}"), move || fuzz(&target)));
    let refused = REFUSING
        .iter()
        .map(|&package| Case::counting(format!("errors/{package}"), move || refused(package)));
    miri.chain(fuzz).chain(refused).collect()
}

/// The programs that cargo has to install for these checks: none without a nightly toolchain.
pub fn programs() -> &'static [&'static str] {
    if has_nightly() { &[FUZZER] } else { &[] }
}

fn has_nightly() -> bool {
    first_line(nightly_cargo().arg("--version").stderr(Stdio::null())).is_some()
}

/// cargo of the nightly toolchain.
fn nightly_cargo() -> Command {
    let mut command = Command::new("rustup");
    // Whatever toolchain runs us is not to be that of its children.
    command.args(["run", "nightly", "cargo"]).env_remove("RUSTUP_TOOLCHAIN");
    command.env_remove("CARGO").env_remove("RUSTC");
    command.env("PATH", cargo_tools::search_path());
    command.current_dir(paths::repository()).stdin(Stdio::null());
    command
}

fn miri(Interpreted { package, tests, leaks }: Interpreted) -> Verdict {
    if first_line(nightly_cargo().args(["miri", "--version"]).stderr(Stdio::null())).is_none() {
        let how = "rustup toolchain install nightly --component miri,rust-src";
        return Verdict::Optional(format!("no Miri; `{how}` installs it"));
    }
    // Its own directory: another compiler would otherwise undo what stable has built.
    let build = ["miri", "test", "--package", package, "--lib", "--target-dir", "target/miri"];
    let settings = |command: &mut Command| {
        // Physical addresses, which are numbers, are made pointers by drivers.
        let flags = "-Zmiri-disable-isolation -Zmiri-permissive-provenance";
        let more = if leaks { " -Zmiri-ignore-leaks" } else { "" };
        command.env("MIRIFLAGS", format!("{flags}{more}")).env("PROPTEST_CASES", "4");
    };
    let mut compile = nightly_cargo();
    settings(compile.args(build).arg("--no-run"));
    let mut interpret = within(MIRI_SECONDS, &nightly_cargo());
    settings(interpret.args(build).args(["--", "--test-threads=1"]).args(tests));
    match judge(&mut compile, |_| Verdict::Passed(0)) {
        Verdict::Passed(_) => judge(&mut interpret, |output| Verdict::Passed(count(output))),
        other => other,
    }
}

/// The same command, ended with all its children after so many seconds.
fn within(seconds: u32, command: &Command) -> Command {
    let mut limit = Command::new("timeout");
    limit.arg(seconds.to_string());
    let mut limited = tools::wrapped(limit, command);
    limited.stdin(Stdio::null());
    limited
}

/// Tests that have passed so far, by their lines `test NAME ... ok`.
fn count(output: &str) -> usize {
    output.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok")).count()
}

fn fuzz(target: &str) -> Verdict {
    if !has_nightly() {
        let how = "rustup toolchain install nightly";
        return Verdict::Optional(format!("no nightly toolchain; `{how}` installs one"));
    }
    if let Err(reason) = cargo_tools::install(FUZZER) {
        return Verdict::Optional(reason);
    }
    if let Err(error) = setup::programs(&[FUZZER_NEEDS]) {
        return Verdict::Optional(format!("{error:#}"));
    }
    let mut command = nightly_cargo();
    // An input that takes ten seconds is a finding, too.
    let limits = [&format!("-max_total_time={FUZZ_SECONDS}"), "-timeout=10"];
    command.args(["fuzz", "run", target, "--"]).args(limits);
    judge(&mut command, |_| Verdict::Passed(1))
}

/// The examples in a crate's documentation.
fn refused(package: &str) -> Verdict {
    if !has_nightly() {
        let how = "rustup toolchain install nightly";
        return Verdict::Skipped(format!("no nightly toolchain; `{how}` installs one"));
    }
    let mut command = nightly_cargo();
    command.args(["test", "--doc", "--package", package, "--target-dir", "target/nightly"]);
    judge(&mut command, |output| Verdict::Passed(count(output)))
}

/// Runs `command`; what it prints decides how many tests have passed.
fn judge(command: &mut Command, passed: impl Fn(&str) -> Verdict) -> Verdict {
    match command.output() {
        Err(error) => Verdict::Failed(Failure::new(error)),
        Ok(output) if has_passed(&output) => passed(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n");
            let reason = format!("`{}` failed", tools::describe(command));
            Verdict::Failed(Failure::new(reason).with_output(tail))
        }
    }
}

/// Whether all went well, at least until the time was up.
fn has_passed(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = text.lines().any(|line| line.ends_with(" ... FAILED"));
    output.status.success() || output.status.code() == Some(TIME_IS_UP) && !failed
}

/// The names of the fuzz targets: the files in `fuzz/fuzz_targets`.
fn fuzz_targets() -> Vec<String> {
    let directory = paths::repository().join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_had_their_turn_are_counted() {
        let output = "running 3 tests\ntest a::b ... ok\ntest a::c ... ok\ntest a::d ... ";
        assert_eq!(count(output), 2);
    }

    #[test]
    fn time_limits_reach_all_children() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo 'test x ... ok'; sleep 60 & wait"]);
        let verdict = judge(&mut within(1, &shell), |output| Verdict::Passed(count(output)));
        assert!(matches!(verdict, Verdict::Passed(1)), "{verdict:?}");
    }
}
