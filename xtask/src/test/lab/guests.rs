//! Guests one by one: the examples hello and timer, and the test guests that say that they are for
//! Xen.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::logs::unusual;
use super::{Shared, WITH_GICV2, peer::Peer};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Ending, Reason, Session, Xen, disk as disk_of_dom0};
use crate::run::mebibytes;
use crate::test::case::{Case, Failure};
use crate::test::directives::Directives;
use crate::test::guest::{annotate, failure};
use crate::test::guests::{judge, package};
use crate::tools::quote;
use crate::xl_cfg::{Config, least};

mod channel;

pub use channel::case as channel;

/// How long an example may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a guest may print something after the test has failed.
const BRIEFLY: Duration = Duration::from_secs(2);

/// The memory that a guest of ours has to make do with, in MiB.
const LITTLE: u64 = 4;

/// What the names of tests end with where XenStore is kept by the daemon in OCaml.
pub const WITH_OXENSTORED: &str = "-oxenstored";

/// The test guests that are run there: they use much of XenStore, or its watches and permissions.
const STORE_GUESTS: [&str; 6] =
    ["attached_network", "balloon", "conduit", "connects", "vchan", "xenstore"];

/// The test guests that are run with the older interrupt controller, too.
const GICV2_GUESTS: [&str; 1] = ["xenstore"];

/// The tests with examples.
pub fn examples(machine: &Shared, arch: Arch, how: &How) -> Vec<Case> {
    vec![
        example(machine, "hello", "hello", arch, how),
        example(machine, "timer", "timer", arch, how),
        hello_with(machine, "hello-in-4M", arch, how, |_| Ok(LITTLE)),
        hello_with(machine, "hello-in-least-memory", arch, how, least),
        disk(machine, arch, how),
        host_disks(machine, arch, how),
    ]
}

/// The tests with test guests of an architecture.
///
/// # Errors
/// If the sources of the test guests cannot be read.
pub fn cases(machine: &Shared, arch: Arch, how: &How) -> Result<Vec<Case>> {
    cases_of(machine, "", arch, how, |_| true)
}

/// The tests with those test guests that notice which daemon keeps XenStore, on a machine with that
/// in OCaml.
///
/// # Errors
/// If the sources of the test guests cannot be read.
pub fn with_oxenstored(machine: &Shared, arch: Arch, how: &How) -> Result<Vec<Case>> {
    cases_of(machine, WITH_OXENSTORED, arch, how, |binary| STORE_GUESTS.contains(&binary))
}

/// The tests with some test guests, on a machine with the older interrupt controller.
///
/// # Errors
/// If the sources of the test guests cannot be read.
pub fn with_gicv2(machine: &Shared, arch: Arch, how: &How) -> Result<Vec<Case>> {
    cases_of(machine, WITH_GICV2, arch, how, |binary| GICV2_GUESTS.contains(&binary))
}

/// A test with each test guest for Xen that is wanted; their names end with `suffix`.
fn cases_of(
    machine: &Shared,
    suffix: &str,
    arch: Arch,
    how: &How,
    is_wanted: fn(&str) -> bool,
) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let package = package()?;
    for (binary, directives) in package.guests()? {
        if !directives.under_xen(arch) || !is_wanted(&binary) {
            continue;
        }
        let name = format!("lab/xen/{binary}{suffix}/{arch}");
        let (app, how) = (App { binary, ..package.app.clone() }, how.clone());
        cases.push(
            machine.case(name, move |session| {
                Guest::of(&app, arch, &how).judged(session, &directives)
            }),
        );
    }
    Ok(cases)
}

/// Builds the test guests that the tests called `names` use. Returns the names of those that use
/// other images.
///
/// # Errors
/// If one cannot be built.
pub fn compile(arch: Arch, how: &How, names: &[String]) -> Result<Vec<String>> {
    let package = package()?;
    // Others may be called as an example is, whose image would be replaced.
    let mut there = package.guests()?;
    there.retain(|(_, directives)| directives.under_xen(arch));
    let (mut binaries, mut others) = (Vec::new(), Vec::new());
    for name in names {
        let used =
            guest_of(name, arch).filter(|&used| there.iter().any(|(guest, _)| guest == used));
        match used {
            Some(guest) => binaries.push(guest.to_owned()),
            None => others.push(name.clone()),
        }
    }
    if !binaries.is_empty() {
        build::build_all(&package.app, arch, how, &binaries)?;
    }
    Ok(others)
}

/// What the guest of a test is called if it is a test guest.
fn guest_of(test: &str, arch: Arch) -> Option<&str> {
    if test == channel::NAME {
        return Some(channel::GUEST);
    }
    let name = test.strip_prefix("lab/xen/")?.strip_suffix(&format!("/{arch}"))?;
    let mut suffixes = [WITH_OXENSTORED, WITH_GICV2].into_iter();
    Some(suffixes.find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name))
}

/// A test that an example does what it does elsewhere.
pub fn example(machine: &Shared, name: &str, example: &'static str, arch: Arch, how: &How) -> Case {
    let how = how.clone();
    machine.case(format!("lab/xen/{name}/{arch}"), move |session| {
        let mut guest = Guest::of(&App::find(example, None)?, arch, &how);
        let expected = match example {
            "timer" => {
                guest.arguments = vec!["count=5".into(), "period=200ms".into()];
                "tick 5"
            }
            _ => "Hello from Mayfly",
        };
        guest.succeeds(session, expected)
    })
}

/// A test that hello boots with the memory that `memory` gives, in MiB.
fn hello_with(
    machine: &Shared,
    name: &str,
    arch: Arch,
    how: &How,
    memory: fn(&Image) -> Result<u64>,
) -> Case {
    let how = how.clone();
    machine.case(format!("lab/xen/{name}/{arch}"), move |session| {
        let mut guest = Guest::of(&App::find("hello", None)?, arch, &how);
        guest.memory = memory(&guest.image)?;
        guest.succeeds(session, "Hello from Mayfly")
    })
}

/// A test that a disk keeps what a guest has written to it.
fn disk(machine: &Shared, arch: Arch, how: &How) -> Case {
    let how = how.clone();
    machine.case(format!("lab/xen/example-disk/{arch}"), move |session| {
        let mut guest = Guest::of(&App::find("disk", None)?, arch, &how);
        let file = format!("/guests/disk-{arch}.img");
        session.succeed(&format!("rm -f {file}; truncate -s 1M {file}"))?;
        guest.disks = vec![file];
        guest.succeeds(session, "It has been booted 1 times.")?;
        guest.succeeds(session, "It has been booted 2 times.")
    })
}

/// A test that what a guest writes to a disk of dom0's machine is in the file that this is, and in
/// no other.
fn host_disks(machine: &Shared, arch: Arch, how: &How) -> Case {
    let (how, files) = (how.clone(), machine.disks.each_ref().map(|disk| disk.path().to_owned()));
    machine.case(format!("lab/xen/host-disks/{arch}"), move |session| {
        let mut guest = Guest::of(&App::find("disk", None)?, arch, &how);
        let bytes = |number: usize| fs::read(&files[number]).context("a disk is gone");
        // Another architecture may have been here before. Dom0 keeps nothing of it.
        for file in &files {
            let empty = |mut file: File| file.write_all(&vec![0; 1 << 20]);
            let file = File::options().write(true).open(file).and_then(empty);
            file.context("a disk cannot be written")?;
        }
        for (number, boots) in [(0, 1), (1, 1), (0, 2)] {
            let (before, other) = (bytes(number)?, bytes(1 - number)?);
            guest.disks = vec![disk_of_dom0(number)];
            guest.succeeds(session, &format!("It has been booted {boots} times."))?;
            if bytes(number)? == before || bytes(1 - number)? != other {
                return Err(Failure::new("what it wrote is not in its file, or in another one"));
            }
        }
        Ok(())
    })
}

/// A guest that is yet to be created.
struct Guest {
    app: App,
    image: Image,
    /// In MiB.
    memory: u64,
    arguments: Vec<String>,
    /// Files in dom0.
    disks: Vec<String>,
    /// Whether it has a network card.
    network: bool,
    /// What dom0 does while it runs.
    script: Option<Script>,
    /// More lines of its configuration, each with its end.
    more: String,
}

/// Seconds that a script may take, and after the end of its guest, which some do much after: less than
/// dom0 may for a command.
const SCRIPT_PATIENCE: u64 = 110;
const AFTER_END: u64 = 60;

/// A script that dom0 runs.
#[derive(Clone, Copy)]
struct Script {
    name: &'static str,
    text: &'static str,
    /// The program that it finds beside it.
    peer: Option<Peer>,
}

const SCRIPTS: [Script; 10] = [
    script("attached_network.sh", include_str!("dom0/attached_network.sh"), None),
    script("balloon.sh", include_str!("dom0/balloon.sh"), None),
    script("clock.sh", include_str!("dom0/clock.sh"), None),
    script("conduit.sh", include_str!("dom0/conduit.sh"), Some(Peer::VchanEcho)),
    script("connects.sh", include_str!("dom0/connects.sh"), None),
    script("console.sh", include_str!("dom0/console.sh"), Some(Peer::ConsoleEnd)),
    script("names.sh", include_str!("dom0/names.sh"), None),
    script("type.sh", include_str!("dom0/type.sh"), None),
    script("vchan.sh", include_str!("dom0/vchan.sh"), Some(Peer::VchanEcho)),
    script("vchan_pair.sh", include_str!("dom0/vchan_pair.sh"), Some(Peer::VchanEcho)),
];

const fn script(name: &'static str, text: &'static str, peer: Option<Peer>) -> Script {
    Script { name, text, peer }
}

impl Guest {
    fn of(app: &App, arch: Arch, how: &How) -> Self {
        let image = build::image_of(app, arch, how, &app.binary);
        Self {
            app: app.clone(),
            image,
            memory: 64,
            arguments: Vec::new(),
            disks: Vec::new(),
            network: false,
            script: None,
            more: String::new(),
        }
    }

    /// Runs it, and checks that it prints a text and ends well.
    fn succeeds(&self, session: &mut Session, expected: &str) -> Result<(), Failure> {
        self.checked(session, PATIENCE, &|console, ending| {
            ensure!(console.contains(expected), "the console does not show `{expected}`");
            ensure!(
                ending == Ending { status: 0, reason: Reason::PowerOff },
                "it ended with {ending:?}"
            );
            Ok(())
        })
    }

    /// Runs it, and checks what it says about itself.
    fn judged(mut self, session: &mut Session, directives: &Directives) -> Result<(), Failure> {
        let memory = directives.memory.first().context("it has no memory")?;
        self.memory = mebibytes(memory)?;
        self.arguments.clone_from(&directives.arguments);
        self.network = directives.lab_network;
        for (index, size) in directives.disks.iter().enumerate() {
            let file = format!("/guests/{}-{index}.img", self.image.arch);
            session.succeed(&format!("rm -f {file}; truncate -s {size} {file}"))?;
            self.disks.push(file);
        }
        if let Some(wanted) = &directives.dom0 {
            let script = SCRIPTS.iter().find(|script| script.name == wanted);
            self.script = Some(*script.with_context(|| format!("there is no {wanted}"))?);
        }
        let patience = Duration::from_secs(directives.timeout);
        self.checked(session, patience, &|console, ending| {
            let console = match directives.dies {
                true => annotate(console, Some(&self.image)),
                false => console.to_owned(),
            };
            judge(directives, ending.status, &console)?;
            let expected = directives.shutdown();
            ensure!(
                ending.reason == expected,
                "it gave Xen {:?} as the reason instead of {expected:?}",
                ending.reason
            );
            Ok(())
        })
    }

    /// Runs it, and has its console and its end checked. A failure shows the console, and what Xen
    /// and dom0 have printed meanwhile that is not usual.
    fn checked(
        &self,
        session: &mut Session,
        patience: Duration,
        check: &dyn Fn(&str, Ending) -> Result<()>,
    ) -> Result<(), Failure> {
        let before = session.console().len();
        let mut console = Vec::new();
        let ending = self.run(session, patience, &mut console);
        let console = String::from_utf8_lossy(&console).replace('\r', "");
        let checked = ending.and_then(|ending| check(&console, ending));
        checked.map_err(|error| {
            let failure = failure(&error, &console, Some(&self.image));
            let host = session.console();
            let printed = host.get(before..).unwrap_or_default();
            let printed: String = printed
                .lines()
                .filter(|line| unusual(line))
                .map(|line| format!("Xen and dom0: {line}\n"))
                .collect();
            let output = failure.output.clone() + &printed;
            failure.with_output(output)
        })
    }

    /// Runs it to its end.
    fn run(
        &self,
        session: &mut Session,
        patience: Duration,
        console: &mut Vec<u8>,
    ) -> Result<Ending> {
        let memory = Some(self.memory);
        let mut config = Config::for_lab(&self.app, &self.image, memory, &self.arguments)?;
        // The same app may have run before for another architecture.
        config.name = format!("{}-{}", config.name, self.image.arch);
        config.disks.clone_from(&self.disks);
        config.network = self.network;
        config.more.clone_from(&self.more);
        session.send_file(&quote(&config.kernel), &self.image.path)?;
        if let Some(Script { peer: Some(peer), .. }) = self.script {
            peer.bring(session, Xen::of(self.image.arch))?;
        }
        let mut domain = Domain::create(session, &config, false)?;
        let played = self.script.map_or(Ok(()), |script| play(session, script, &config.name));
        // After a failure there is nothing to wait for, but what it has printed counts.
        let patience = if played.is_ok() { patience } else { BRIEFLY };
        let ending = domain.wait(session, patience, &mut |part| console.extend_from_slice(part));
        domain.destroy(session)?;
        played.and(ending)
    }
}

/// Has dom0 run a script, which is told the name of a guest. It is ended when the guest has been gone
/// for a while, or it takes longer than dom0 may for a command: a script waits for what its guest does,
/// and would go on waiting for one that has failed.
fn play(session: &mut Session, script: Script, guest: &str) -> Result<()> {
    session.send("script", script.text.as_bytes())?;
    let played = session.run(&format!(
        "sh script {guest} & script=$!; start=$(date +%s); ended=; \
         while kill -0 $script 2>/dev/null; do \
             now=$(date +%s); [ -e {guest}.end ] && : ${{ended:=$now}}; \
             if [ $((now - ${{ended:-$now}})) -gt {AFTER_END} ] || \
                 [ $((now - start)) -gt {SCRIPT_PATIENCE} ]; then \
                 kill $script; echo 'it waits for something that does not come'; exit 1; \
             fi; \
             sleep 0.1; \
         done; wait $script",
        guest = quote(guest)
    ))?;
    ensure!(played.status == 0, "{} in dom0 says:\n{}", script.name, played.text());
    Ok(())
}
