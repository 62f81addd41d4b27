//! `ci`: every check that a change has to pass, and then the tests.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::app::{self, cargo};
use crate::arch::Arch;
use crate::cargo_tools::Installation;
use crate::{paths, setup, test, tools, ui};

mod deny;

/// The manifest of the fuzz targets.
const FUZZ: &str = "fuzz/Cargo.toml";
/// A program that is no package.
const SINGLE: &str = "xtask/src/test/lab/dom0/vchan_echo/main.rs";
/// Packages that are nothing for an image.
const ONLY_FOR_LINUX: [&str; 6] =
    ["xtask", "linux-server", "recorder", "bulk-client", "meter", "backends"];

/// Runs every check that a change has to pass: format, lints, documentation, licences, tests.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask ci
  cargo xtask ci --quick      without the tests

The last line is `N passed, N failed`, checks and tests together. A test that cannot be run here has
failed, unless it needs a nightly toolchain; then the line before says so.")]
pub struct Options {
    /// Leaves out the tests.
    #[arg(long)]
    quick: bool,
}

/// A check: what it is called, and what it does.
type Check = (String, Box<dyn Fn() -> Result<()>>);

impl Options {
    /// Runs the checks, all of them even when one fails.
    pub fn execute(&self) -> Result<u8> {
        // They take minutes to compile, in which the first checks can be made.
        let _installation =
            Installation::start(&[test::nightly_programs(), &[deny::PROGRAM]].concat());
        for arch in Arch::ALL {
            setup::rust_target(arch)?;
        }
        let mut tally = test::Tally::default();
        for (name, work) in checks() {
            ui::progress("Checking", &name);
            let start = Instant::now();
            count(&mut tally, &name, start, work());
        }
        if !self.quick {
            run_tests(&mut tally);
        }
        check_licences(&mut tally);
        println!("{tally}");
        Ok(u8::from(tally.failed > 0))
    }
}

/// Counts a check that began at `start`, and says how it went.
fn count(tally: &mut test::Tally, name: &str, start: Instant, result: Result<()>) {
    let seconds = start.elapsed().as_secs_f32();
    match result {
        Ok(()) => {
            tally.passed += 1;
            println!("pass  ci/{name} ({seconds:.1} s)");
        }
        Err(error) => {
            tally.failed += 1;
            println!("FAIL  ci/{name} ({seconds:.1} s): {error:#}");
        }
    }
}

/// Counts a check that cannot be made without servers of others, and says so.
fn skip(tally: &mut test::Tally, name: &str, reason: &str) {
    tally.skip(reason);
    println!("skip  ci/{name}: {reason}");
}

/// Runs the tests, and counts them one by one.
fn run_tests(tally: &mut test::Tally) {
    for (what, options) in [
        ("everything, with images for development", test::Options::everything()),
        ("once more in guests, with the images that ship", test::Options::as_shipped()),
    ] {
        ui::progress("Testing", what);
        match options.run() {
            Ok(tests) => tally.add(tests),
            Err(error) => {
                tally.failed += 1;
                println!("FAIL  ci/test: {error:#}");
            }
        }
    }
}

/// Checks the licences of what we depend on. Last, because the program for it is compiled meanwhile.
fn check_licences(tally: &mut test::Tally) {
    ui::progress("Checking", "deny");
    let start = Instant::now();
    let checked = deny::check();
    let left_out = *checked.as_ref().unwrap_or(&None);
    count(tally, "deny", start, checked.map(drop));
    if let Some(reason) = left_out {
        skip(tally, "deny-advisories", reason);
    }
}

/// The checks, in the order of how soon they tell.
fn checks() -> Vec<Check> {
    let mut checks: Vec<Check> = vec![
        ("fmt".into(), Box::new(format)),
        ("lints-everywhere".into(), Box::new(every_crate_opts_in)),
        ("clippy/host".into(), Box::new(clippy_host)),
        ("clippy/fuzz".into(), Box::new(clippy_fuzz)),
    ];
    checks.extend(Arch::ALL.map(|arch| -> Check {
        (format!("clippy/{arch}"), Box::new(move || clippy_target(arch)))
    }));
    checks.push(("doc/host".into(), Box::new(|| documentation(None))));
    checks.extend(Arch::ALL.map(|arch| -> Check {
        (format!("doc/{arch}"), Box::new(move || documentation(Some(arch))))
    }));
    checks
}

/// Runs a command in the checkout; what it prints is shown.
fn run(command: &mut Command) -> Result<()> {
    tools::run(command.current_dir(paths::repository()).stdin(Stdio::null()))
}

/// All of the Rust code: the workspace, that of the fuzz targets, and a program in neither.
fn format() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["fmt", "--manifest-path", FUZZ, "--check"]))?;
    run(Command::new("rustfmt").args(["--edition", "2024", "--check", SINGLE]))
}

/// The test guests break rules on purpose, on bare metal only.
fn clippy_host() -> Result<()> {
    let arguments = ["clippy", "--quiet", "--workspace", "--exclude", "guests", "--all-targets"];
    run(cargo().args(arguments).args(["--", "--deny", "warnings"]))
}

/// Fuzz targets are a workspace of their own. Stable Rust checks them as well, without the library of
/// the fuzzer, which a C++ compiler would have to be there for: a path stands in for it.
fn clippy_fuzz() -> Result<()> {
    let mut command = cargo();
    command.args(["clippy", "--quiet", "--manifest-path", FUZZ, "--all-targets"]);
    command.env("CUSTOM_LIBFUZZER_PATH", "not/linked/libfuzzer.a");
    run(command.args(["--", "--deny", "warnings"]))
}

fn clippy_target(arch: Arch) -> Result<()> {
    let mut command = cargo();
    command.args(["clippy", "--quiet", "--workspace"]);
    exclude(&mut command, &ONLY_FOR_LINUX);
    run(command.args(["--target", arch.target(), "--", "--deny", "warnings"]))
}

/// Of the code for this machine, or for an architecture: each has modules that the others have not.
fn documentation(arch: Option<Arch>) -> Result<()> {
    let mut command = cargo();
    command.args(["doc", "--quiet", "--workspace", "--no-deps"]);
    exclude(&mut command, &["guests"]);
    if let Some(arch) = arch {
        exclude(&mut command, &ONLY_FOR_LINUX);
        // Nearly nothing of it is left there.
        exclude(&mut command, &["mayfly-unix"]);
        command.args(["--target", arch.target()]);
    }
    run(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

fn exclude(command: &mut Command, packages: &[&str]) {
    for package in packages {
        command.args(["--exclude", package]);
    }
}

/// Every crate must say `[lints] workspace = true`: cargo does not mind if one forgets.
fn every_crate_opts_in() -> Result<()> {
    let metadata = app::metadata(&paths::repository().join("Cargo.toml"))?;
    let mut without = Vec::new();
    for package in app::list(&metadata["packages"]) {
        let manifest = package["manifest_path"].as_str().context("a package has a manifest")?;
        let text = std::fs::read_to_string(manifest)?;
        if !opts_in(&text) {
            without.push(manifest.to_owned());
        }
    }
    ensure!(without.is_empty(), "no `[lints] workspace = true` in {}", without.join(", "));
    let read = |name: &str| std::fs::read_to_string(paths::repository().join(name));
    let (root, fuzz) = (read("Cargo.toml")?, read(FUZZ)?);
    for kind in ["rust", "clippy"] {
        let [here, there] = ["workspace.lints", "lints"].map(|table| format!("[{table}.{kind}]"));
        let is_same = section(&root, &here).eq(section(&fuzz, &there));
        ensure!(is_same, "{FUZZ} has other `[lints.{kind}]` than the workspace");
    }
    Ok(())
}

/// The lines of a manifest after a heading, up to the next one.
fn section<'a>(manifest: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let lines = manifest.lines().skip_while(move |line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter(|line| line.contains('='))
}

/// Whether a manifest takes the workspace's lints.
fn opts_in(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.any(|line| line == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_opt_in_to_the_lints_or_do_not() {
        assert!(opts_in("[package]\n\n[lints]\nworkspace = true\n"));
        assert!(!opts_in("[package]\nversion.workspace = true\n"));
        assert!(!opts_in("[lints]\n[dependencies]\n"));
        every_crate_opts_in().unwrap();
    }

    #[test]
    fn sections_end_where_the_next_begins() {
        let manifest = "[a]\nx = 1\n\n# Text.\ny = 2\n[b]\nz = 3\n";
        assert!(section(manifest, "[a]").eq(["x = 1", "y = 2"]));
        assert!(section(manifest, "[c]").eq([""; 0]));
    }
}
