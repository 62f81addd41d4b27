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

/// Left out is what has no unsafe code, and what Miri cannot do at all, or not in time: system calls
/// (`mayfly-unix`), devices that do whatever they like for thousands of rounds or long frames (most of
/// `net::` of virtio), and what moves whole pages between domains, of which one test takes a minute
/// (`balloon::`, `vchan::`, the devices, most of `grants::`). What these do with shared pages goes
/// through `shared_page::` and the rings. On a host there are neither registers nor hypercalls
/// (`mayfly-serial`, most of `mayfly-arch`).
const MIRI: [Interpreted; 5] = [
    Interpreted { package: "mayfly-arch", tests: &["arm::", "backtrace::"], leaks: true },
    Interpreted { package: "mayfly-device", tests: &[], leaks: false },
    Interpreted { package: "mayfly", tests: &["memory::"], leaks: false },
    Interpreted {
        package: "mayfly-virtio",
        tests: &[
            "block::",
            "console::",
            "entropy::",
            "net::tests::a_buffer",
            "net::tests::a_full_queue",
            "net::tests::frames",
            "net::tests::notifications",
        ],
        leaks: true,
    },
    Interpreted {
        package: "mayfly-xen",
        tests: &[
            "byte_ring::",
            "front_ring::",
            "shared_page::",
            "entry::",
            "event_channel::",
            "foreign::",
            "in_use::a_grant",
        ],
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
    match judge(&mut compile, |_| Ok(0)) {
        Verdict::Passed(_) => judge(&mut interpret, |output| finished(output, tests)),
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

/// How many tests have passed, of those that are called by one of `names`, by their lines
/// `test NAME ... ok`. When the time was up, others have not had their turn.
///
/// # Errors
/// If no test was finished: then nothing is known. And if all had their turn, but none of them has
/// one of the names: it was given another.
fn finished(output: &str, names: &[&str]) -> Result<usize, String> {
    let has_passed = |line: &&str| line.starts_with("test ") && line.ends_with(" ... ok");
    let passed: Vec<&str> = output.lines().filter(has_passed).collect();
    if passed.is_empty() {
        return Err("no test was finished".into());
    }
    let all_had_their_turn = output.lines().any(|line| line.starts_with("test result: "));
    let is_missing = |name: &&&str| !passed.iter().any(|line| line.contains(**name));
    match names.iter().find(is_missing) {
        Some(name) if all_had_their_turn => Err(format!("no test of `{name}` was interpreted")),
        _ => Ok(passed.len()),
    }
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
    judge(&mut command, |_| Ok(1))
}

/// The examples in a crate's documentation.
fn refused(package: &str) -> Verdict {
    if !has_nightly() {
        let how = "rustup toolchain install nightly";
        return Verdict::Optional(format!("no nightly toolchain; `{how}` installs one"));
    }
    let mut command = nightly_cargo();
    command.args(["test", "--doc", "--package", package, "--target-dir", "target/nightly"]);
    judge(&mut command, |output| finished(output, &[]))
}

/// Runs `command`; what it prints decides how many tests have passed, or why that is a failure.
fn judge(command: &mut Command, passed: impl Fn(&str) -> Result<usize, String>) -> Verdict {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return Verdict::Failed(Failure::new(error)),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let passed =
        if has_failed(&output, &printed) { Err("it failed".into()) } else { passed(&printed) };
    match passed {
        Ok(count) => Verdict::Passed(count),
        Err(reason) => {
            let text = [&*printed, &String::from_utf8_lossy(&output.stderr)].concat();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n");
            let reason = format!("`{}`: {reason}", tools::describe(command));
            Verdict::Failed(Failure::new(reason).with_output(tail))
        }
    }
}

/// Whether something went wrong, before the time was up.
fn has_failed(output: &Output, printed: &str) -> bool {
    let is_in_time = output.status.code() != Some(TIME_IS_UP);
    is_in_time && !output.status.success()
        || printed.lines().any(|line| line.ends_with(" ... FAILED"))
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
        assert_eq!(finished(output, &["a::", "z::"]), Ok(2));
    }

    #[test]
    fn no_test_is_no_pass() {
        for output in ["", "running 3 tests\ntest a::b ... ", "running 0 tests\n\ntest result: ok."]
        {
            assert!(finished(output, &[]).is_err(), "{output}");
        }
    }

    #[test]
    fn a_name_that_no_test_has_is_noticed() {
        let output = "test a::b ... ok\n\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(finished(output, &["a::"]), Ok(1));
        assert!(finished(output, &["a::", "z::"]).is_err());
    }

    /// What comes of a script that gets a second.
    fn within_a_second(script: &str) -> Verdict {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        judge(&mut within(1, &shell), |output| finished(output, &[]))
    }

    #[test]
    fn time_limits_reach_all_children() {
        let verdict = within_a_second("echo 'test x ... ok'; sleep 60 & wait");
        assert!(matches!(verdict, Verdict::Passed(1)), "{verdict:?}");
    }

    #[test]
    fn what_fails_or_finishes_nothing_in_its_time_has_failed() {
        for script in
            ["sleep 60", "echo 'test x ... FAILED'; sleep 60", "echo 'test x ... ok'; exit 1"]
        {
            let verdict = within_a_second(script);
            assert!(matches!(verdict, Verdict::Failed(_)), "{script}: {verdict:?}");
        }
    }
}
