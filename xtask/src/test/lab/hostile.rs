//! Back ends and a XenStore that mean harm: a program in dom0 ([`tests/backends`]) plays them for a
//! guest, whose task answers whatever they do, and which uses no processor afterwards.
//!
//! [`tests/backends`]: ../../../../tests/backends/src/bin/hostile/main.rs

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Shared, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session, Xen};
use crate::linux;
use crate::test::case::Case;
use crate::test::guests::package;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// The test guest.
const GUEST: &str = "hostile_agent";
/// The program in dom0.
const PROGRAM: &str = "hostile";

/// Memory, in MiB.
const MEMORY: u64 = 64;
/// How long all of it may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// Networks that have an address.
const NETWORKS: usize = 40;

/// What is played, and how many lines the guest may print meanwhile: a few for each device, however
/// often its back end does what it does.
const TESTS: [(&str, usize); 4] = [("disk", 400), ("net", 450), ("keys", 250), ("store", 60)];
/// What is played beside oxenstored.
const BESIDE: (&str, usize) = ("oxenstored", 60);

/// The tests of an architecture.
///
/// # Errors
/// If the test guests cannot be found.
pub fn cases(machine: &Shared, arch: Arch, how: &How) -> Result<Vec<Case>> {
    let app = guest()?;
    Ok(TESTS.into_iter().map(|test| case(machine, &app, test, arch, how)).collect())
}

/// The test with a XenStore that means harm, beside oxenstored, which mends it.
///
/// # Errors
/// If the test guest cannot be found.
pub fn with_oxenstored(machine: &Shared, arch: Arch, how: &How) -> Result<Case> {
    Ok(case(machine, &guest()?, BESIDE, arch, how))
}

fn guest() -> Result<App> {
    Ok(App { binary: GUEST.into(), ..package()?.app })
}

fn case(
    machine: &Shared,
    app: &App,
    (what, lines): (&'static str, usize),
    arch: Arch,
    how: &How,
) -> Case {
    let (app, how) = (app.clone(), how.clone());
    machine.case(name(what, arch), move |session| {
        let image = build::image_of(&app, arch, &how, &app.binary);
        with_console(&image, |console| {
            run(session, &app, &image, what, console)?;
            let printed = console.iter().filter(|byte| **byte == b'\n').count();
            ensure!(printed <= lines, "it has printed {printed} lines");
            Ok(())
        })
    })
}

fn name(what: &str, arch: Arch) -> String {
    format!("lab/xen/hostile-{what}/{arch}")
}

/// Whether these tests are among those called `names`.
pub fn are_among(names: &[String], arch: Arch) -> bool {
    TESTS.into_iter().chain([BESIDE]).any(|(what, _)| names.contains(&name(what, arch)))
}

/// Builds the guest and the program.
///
/// # Errors
/// If one cannot be built.
pub fn compile(arch: Arch, how: &How) -> Result<()> {
    build::build_all(&package()?.app, arch, how, &[GUEST.into()])?;
    program(arch).map(drop)
}

fn program(arch: Arch) -> Result<PathBuf> {
    linux::program("backends", PROGRAM, Xen::of(arch).arch())
}

fn run(
    session: &mut Session,
    app: &App,
    image: &Image,
    what: &str,
    console: &mut Vec<u8>,
) -> Result<()> {
    let arguments: Vec<String> =
        (0..NETWORKS).map(|net| format!("net{net}.ip=10.98.{net}.2/24")).collect();
    let mut config = Config::for_lab(app, image, Some(MEMORY), &arguments)?;
    config.name = format!("{PROGRAM}-{what}-{}", image.arch);
    session.send_file(&quote(&config.kernel), &image.path)?;
    session.send_file(PROGRAM, &program(image.arch)?)?;
    let mut domain = Domain::create(session, &config, false)?;
    let result = domain.wait_until_there(session, Duration::from_secs(60)).and_then(|()| {
        let command = format!("chmod +x {PROGRAM}; ./{PROGRAM} $(xl domid {}) {what}", config.name);
        let before = std::mem::replace(&mut session.patience, PATIENCE);
        let output = session.run(&command);
        session.patience = before;
        let output = output?;
        ensure!(output.status == 0, "dom0 says:\n{}", output.text());
        Ok(())
    });
    // All that it has printed.
    domain.follow(session, &mut |part| console.extend_from_slice(part)).ok();
    domain.destroy(session)?;
    session.run(&format!("rm -f {PROGRAM}"))?;
    result
}
