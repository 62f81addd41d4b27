//! Guests that Xen starts without dom0: an example, and test guests of which some end badly. Each has
//! a Xen of its own, which takes a second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::logs;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{DirectEnding, Dom0less, Lab, Xen};
use crate::test::case::{Case, Failure, Verdict};
use crate::test::directives::Directives;
use crate::test::guest::{annotate, failure};
use crate::test::guests::{judge, package};

/// What the tests' names start with.
const PREFIX: &str = "lab/dom0less/";

/// How long a guest may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory, in MiB.
const MEMORY: u64 = 16;
/// The examples that are run: their arguments, and the version of the interrupt controller, of which
/// each has one so that no other test is needed.
const EXAMPLES: [(&str, Option<&str>, u8); 2] =
    [("hello", None, 3), ("timer", Some("count=3 period=100ms"), 2)];
/// What is run for the development: ends of all kinds.
const GUESTS: [&str; 4] = ["crash", "exit_status", "panic_report", "reboot"];

/// The tests with guests of an architecture, on ARM.
pub fn cases(arch: Arch, how: &How) -> Vec<Case> {
    let name = |name: &str| format!("{PREFIX}{name}/{arch}");
    let mut cases = Vec::new();
    for (example, argument, gic) in EXAMPLES {
        let how = how.clone();
        cases.push(case(name(example), move |lab| {
            let app = App::find(example, None)?;
            let image = build::image_of(&app, arch, &how, &app.binary);
            let arguments: Vec<String> =
                argument.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
            let expected = if example == "timer" { "tick 3" } else { "Hello from Mayfly" };
            checked(lab, &image, &arguments, gic, &|console, ending| {
                ensure!(console.contains(expected), "the console does not show `{expected}`");
                ensure!(ending == DirectEnding::Status(0), "it ended with {ending:?}");
                Ok(())
            })
        }));
    }
    // What the test guests show does not depend on how they were compiled.
    let guests = if how.release { &[][..] } else { &GUESTS[..] };
    for binary in guests {
        let how = how.clone();
        cases.push(case(name(binary), move |lab| {
            let package = package()?;
            let guests = package.guests()?;
            let (_, directives) = guests
                .iter()
                .find(|(name, _)| name == binary)
                .with_context(|| format!("there is no test guest {binary}"))?;
            let image = build::image_of(&package.app, arch, &how, binary);
            checked(lab, &image, &directives.arguments, 3, &|console, ending| {
                verdict(directives, &image, console, ending)
            })
        }));
    }
    cases
}

/// A test that starts guests.
fn case(name: String, test: impl Fn(&Lab) -> Result<(), Failure> + Send + Sync + 'static) -> Case {
    Case::counting(name, move || {
        let tree = match Lab::fetch(Xen::Aarch64) {
            Ok(tree) => tree,
            // Whether Debian's servers can be reached says nothing about the code.
            Err(error) => return Verdict::Skipped(format!("{error:#}")),
        };
        let lab = Lab::assemble(Xen::Aarch64, &tree).map_err(Failure::from);
        match lab.and_then(|lab| test(&lab)) {
            Ok(()) => Verdict::Passed(1),
            Err(failure) => Verdict::Failed(failure),
        }
    })
}

/// Builds what those of these tests use that are called `names`.
///
/// # Errors
/// If one cannot be built.
pub fn compile(arch: Arch, how: &How, names: &[String]) -> Result<()> {
    let used = |binary: &&str| names.contains(&format!("{PREFIX}{binary}/{arch}"));
    for (example, ..) in EXAMPLES.into_iter().filter(|(example, ..)| used(example)) {
        build::build(&App::find(example, None)?, arch, how)?;
    }
    let binaries: Vec<String> =
        GUESTS.iter().copied().filter(|binary| used(binary)).map(str::to_owned).collect();
    if !binaries.is_empty() {
        build::build_all(&package()?.app, arch, how, &binaries)?;
    }
    Ok(())
}

/// What a test guest says of itself, and its end.
fn verdict(
    directives: &Directives,
    image: &Image,
    console: &str,
    ending: DirectEnding,
) -> Result<()> {
    let status = match ending {
        DirectEnding::Status(status) => status,
        DirectEnding::Reboot => 0,
        DirectEnding::Crashed => bail!("Xen has ended it"),
    };
    let reboots = directives.shutdown() == crate::lab::Reason::Reboot;
    ensure!(reboots == (ending == DirectEnding::Reboot), "it ended with {ending:?}");
    let console = if directives.dies { annotate(console, Some(image)) } else { console.to_owned() };
    judge(directives, status, &console)
}

/// Runs a guest to its end, and has that and its console checked.
fn checked(
    lab: &Lab,
    image: &Image,
    arguments: &[String],
    gic: u8,
    check: &dyn Fn(&str, DirectEnding) -> Result<()>,
) -> Result<(), Failure> {
    let guest = Dom0less { image: &image.path, memory: MEMORY, arguments, gic };
    let mut console = Vec::new();
    let mut guest = guest.start(lab)?;
    let start = Instant::now();
    let ending = loop {
        match guest.follow(&mut |part| console.extend_from_slice(part)) {
            Ok(None) if start.elapsed() < PATIENCE => {}
            Ok(None) => break Err(anyhow::anyhow!("it was still running after {PATIENCE:?}")),
            Ok(Some(ending)) => break Ok(ending),
            Err(error) => break Err(error),
        }
    };
    let console = String::from_utf8_lossy(&console).replace('\r', "");
    let complaints = logs::about_guest(guest.xen());
    let checked = ending.and_then(|ending| {
        check(&console, ending)?;
        ensure!(complaints.is_empty(), "Xen complains of the guest");
        Ok(())
    });
    checked.map_err(|error| {
        let said: String = guest.xen().iter().map(|line| format!("Xen: {line}\n")).collect();
        let failure = failure(&error, &console, Some(image));
        let output = failure.output.clone() + &said;
        failure.with_output(output)
    })
}
