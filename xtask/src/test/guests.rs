//! The test guests: `tests/guests/src/bin`, one for each behaviour.
//!
//! A guest prints `mayfly-test: PASS` or `mayfly-test: FAIL` and a reason, and ends. What it needs,
//! and whether it has to die instead, it says at the start of its source, see [`super::directives`].

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::case::{Case, Failure};
use super::directives::Directives;
use super::guest::TestGuest;
use super::variant::{self, Variant};
use crate::app::{self, App};
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::paths;
use crate::run::{Hardware, Network};
use crate::temporary::TemporaryFile;

/// What a guest prints before its verdict.
const VERDICT: &str = "mayfly-test: ";

/// How reports begin, and how they end: the last is about a fault in the report of one, the other
/// about one in that of a panic.
const REPORTS: [&str; 2] = ["*** mayfly: panic: ", "*** mayfly: fault: "];
const ENDS: [&str; 3] = [
    "*** end of report",
    "*** mayfly: another fault while the report was written; ending",
    "mayfly: fault in the fault report: ",
];
/// The statuses of guests that end with a report.
const FATAL: [u8; 3] = [101, 102, 126];

/// A way in which a guest is run.
struct Trial {
    image: Image,
    variant: Variant,
    memory: String,
    cpu: Option<String>,
    directives: Directives,
}

/// The tests with guests of an architecture.
pub fn cases(arch: Arch, how: &How) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let package = package()?;
    for (name, directives) in package.guests()? {
        for (name, trial) in trials(&package.app, &name, arch, how, &directives) {
            cases.push(Case::new(name, move || run(&trial)));
        }
    }
    Ok(cases)
}

/// Builds the images that the tests called `names` use.
pub fn compile(arch: Arch, how: &How, names: &[String]) -> Result<()> {
    let package = package()?;
    let used =
        |binary: &&String| names.iter().any(|name| name.starts_with(&format!("guests/{binary}/")));
    let binaries: Vec<String> =
        package.binaries.iter().map(|(name, _)| name).filter(used).cloned().collect();
    if !binaries.is_empty() {
        build::build_all(&package.app, arch, how, &binaries)?;
    }
    Ok(())
}

/// The ways in which a guest is run on an architecture, by the names of the tests.
fn trials(
    app: &App,
    binary: &str,
    arch: Arch,
    how: &How,
    directives: &Directives,
) -> Vec<(String, Trial)> {
    let mut trials = Vec::new();
    for variant in directives.variants(arch) {
        for memory in &directives.memory {
            for cpu in &directives.cpus {
                let size = variant::memory(memory, arch);
                if !variant::exists(arch, cpu, size) {
                    continue;
                }
                let mut name = format!("guests/{binary}/{arch}/{}", variant.name);
                if directives.memory.len() > 1 {
                    name += &format!("/{size}");
                }
                if directives.cpus.len() > 1 {
                    name += &format!("/{cpu}");
                }
                let trial = Trial {
                    image: build::image_of(app, arch, how, binary),
                    variant,
                    memory: size.to_owned(),
                    cpu: Some(cpu.clone()).filter(|cpu| cpu != "default"),
                    directives: directives.clone(),
                };
                trials.push((name, trial));
            }
        }
    }
    trials
}

/// Runs a guest to its end and judges it.
fn run(trial: &Trial) -> Result<(), Failure> {
    let Trial { image, variant, memory, cpu, directives } = trial;
    let disks = directives.disks.iter().map(|size| TemporaryFile::disk(size));
    let disks = disks.collect::<Result<Vec<_>>>()?;
    let hardware = Hardware {
        memory: memory.clone(),
        cpu: cpu.clone(),
        smp: directives.smp,
        disks: disks.iter().map(|disk| disk.path().to_owned()).collect(),
        entropy: directives.entropy_device,
        ..variant.hardware()
    };
    let initrd = directives.initrd.map(initrd).transpose()?;
    let mut extra = variant.extra();
    if let Some(file) = &initrd {
        extra.extend(["-initrd".to_owned(), file.path().to_string_lossy().into_owned()]);
    }
    if !directives.seed && image.arch != Arch::X86_64 {
        extra.extend(["-machine", "dtb-randomness=off"].map(str::to_owned));
    }
    let network = if directives.network { Network::User(Vec::new()) } else { Network::None };
    let arguments = &directives.arguments_for(memory);
    let mut guest = match directives.typed {
        Some(console) => console.start(image, hardware, network, arguments, extra)?,
        None => TestGuest::start_with(image, hardware, network, arguments, extra)?,
    };
    let judged = guest.wait(Duration::from_secs(directives.timeout)).and_then(|status| {
        // Only what dies shows places in the source, and they take a while to find.
        let console = if directives.dies { guest.annotated_console() } else { guest.console() };
        judge(directives, status, &console)
    });
    judged.map_err(|error| guest.failure(&error))
}

/// An initrd of `size` bytes: each is the rest of its offset divided by 251, which is a prime. So a
/// guest that is given another part of memory, or only a part of the initrd, sees that.
///
/// # Errors
/// If it cannot be written.
pub fn initrd(size: usize) -> Result<TemporaryFile> {
    let file = TemporaryFile::new("initrd")?;
    let content: Vec<u8> = (0..size).map(|offset| (offset % 251) as u8).collect();
    std::fs::write(file.path(), content)
        .with_context(|| format!("cannot write {}", file.path().display()))?;
    Ok(file)
}

/// Whether a guest that has printed `console` and ended with `status` has done what it should.
pub fn judge(directives: &Directives, status: u8, console: &str) -> Result<()> {
    let verdicts: Vec<&str> =
        console.lines().filter_map(|line| Some(line.split_once(VERDICT)?.1)).collect();
    if let Some(reason) = verdicts.iter().find_map(|verdict| verdict.strip_prefix("FAIL")) {
        bail!("{}", reason.trim());
    }
    let passed = verdicts.iter().any(|verdict| verdict.trim() == "PASS");
    let count = |texts: &[&str]| texts.iter().map(|text| console.matches(text).count()).sum();
    let (reports, ends): (usize, usize) = (count(&REPORTS), count(&ENDS));
    ensure!(ends == reports, "it has {reports} beginnings of reports and {ends} ends");
    if directives.dies {
        ensure!(!passed, "it should have died");
        let expected = usize::from(FATAL.contains(&directives.status));
        ensure!(reports == expected, "it has {reports} reports instead of {expected}");
    } else {
        ensure!(passed, "it ended with status {status} and without a verdict");
    }
    let mut rest = console;
    for report in &directives.reports {
        let (_, behind) = rest.split_once(report).with_context(|| {
            let place = if console.contains(report) { " where it belongs" } else { "" };
            format!("the console does not show `{report}`{place}")
        })?;
        rest = behind;
    }
    ensure!(
        status == directives.status,
        "its exit status is {status} instead of {}",
        directives.status
    );
    Ok(())
}

/// The package of the test guests, and the sources of its binaries.
pub struct Package {
    /// The package, as one of its binaries.
    pub app: App,
    binaries: Vec<(String, PathBuf)>,
}

impl Package {
    /// The guests with what they say about themselves, by name.
    ///
    /// # Errors
    /// If the source of one cannot be read, or says something that is not known.
    pub fn guests(&self) -> Result<Vec<(String, Directives)>> {
        let guest = |(name, source): &(String, PathBuf)| {
            let text = std::fs::read_to_string(source)
                .with_context(|| format!("cannot read {}", source.display()))?;
            let directives =
                Directives::parse(&text).with_context(|| format!("in {}", source.display()))?;
            Ok((name.clone(), directives))
        };
        self.binaries.iter().map(guest).collect()
    }
}

/// Looks at `tests/guests`.
///
/// # Errors
/// If cargo cannot tell what is in it.
pub fn package() -> Result<Package> {
    let directory = paths::repository().join("tests/guests");
    let binaries = app::binaries(&directory)?;
    let (first, _) = binaries.first().context("tests/guests has no binaries")?;
    Ok(Package { app: App::find(&format!("guests/{first}"), None)?, binaries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_must_say_that_it_has_passed() {
        let directives = Directives::default();
        judge(&directives, 0, "boot\nmayfly-test: PASS\n").unwrap();
        judge(&directives, 0, "[0.01] mayfly-test: PASS\n").unwrap();
        assert!(judge(&directives, 0, "boot\n").is_err());
        assert!(judge(&directives, 1, "mayfly-test: PASS\n").is_err());
        let error = judge(&directives, 0, "mayfly-test: FAIL 1 is not 2\n").unwrap_err();
        assert_eq!(error.to_string(), "1 is not 2");
    }

    #[test]
    fn a_guest_that_must_die_has_to_report_why() {
        let directives = Directives::parse("//@ dies: 2\n//@ report: NULL page\n").unwrap();
        judge(&directives, 2, "fault: hit the NULL page\n").unwrap();
        assert!(judge(&directives, 0, "fault: hit the NULL page\n").is_err());
        assert!(judge(&directives, 2, "fault\n").is_err());
        assert!(judge(&directives, 2, "NULL page\nmayfly-test: PASS\n").is_err());
    }

    #[test]
    fn a_guest_must_not_report_twice() {
        let directives = Directives::parse("//@ dies: 101\n").unwrap();
        let report = "*** mayfly: panic: oh\n*** end of report\n";
        judge(&directives, 101, report).unwrap();
        assert!(judge(&directives, 101, "").is_err());
        for begin in REPORTS {
            for end in ["", ENDS[0]] {
                let console = format!("{report}{begin}ah\n{end}\n");
                assert!(judge(&directives, 101, &console).is_err(), "{console}");
            }
        }
    }

    #[test]
    fn a_report_has_one_end() {
        let directives = Directives::parse("//@ dies: 126\n").unwrap();
        let passing = Directives::default();
        for end in ENDS {
            let report = format!("{}oh\n{end}\n", REPORTS[1]);
            judge(&directives, 126, &report).unwrap();
            // An app may survive its panics.
            judge(&passing, 0, &format!("{report}mayfly-test: PASS\n")).unwrap();
            for other in ENDS {
                assert!(judge(&directives, 126, &format!("{report}{other}\n")).is_err());
            }
        }
        assert!(judge(&directives, 126, REPORTS[1]).is_err());
        assert!(judge(&passing, 0, "*** mayfly: panic: oh\nmayfly-test: PASS\n").is_err());
    }
}
