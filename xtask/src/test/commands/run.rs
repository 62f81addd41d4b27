//! `run`: in QEMU and as a Linux process, until the guest ends, its time is up, or Ctrl-C.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::site;
use super::typed::{Typed, xtask};
use crate::run::{Forward, Protocol, choose_host_ports};
use crate::temporary::TemporaryFile;
use crate::test::case::{Failure, Verdict};
use crate::test::lab::JUST_IN_TIME;
use crate::test::namespace::{BOOT_ARGUMENT, GUEST_ADDRESS, INTERFACE, Namespace};
use crate::test::outside::{self, Process};
use crate::tools;

/// The exit status of what was ended because its time was up, as of timeout(1).
const TIMED_OUT: i32 = 124;

/// What the name of QEMU begins with, as far as Linux keeps it.
const QEMU: &str = "qemu-system";

/// How long the guest has that `times_out`.
const TIME: Duration = Duration::from_secs(5);

/// What the example disk keeps its count behind, and the bytes of a sector.
const MAGIC: &[u8] = b"mayflyC1";
const SECTOR: usize = 512;

/// `run hello` prints what the guest does, and ends with it.
pub fn greets() -> Result<()> {
    let ended = Typed::new(&["run", "hello"])?.end()?.with(0)?;
    let greets = ended.stdout.lines().any(|line| line.trim() == super::GREETING);
    ensure!(greets, "the guest does not greet on standard output:\n{}", ended.text);
    Ok(())
}

/// `run http` says where it serves, and there is the site. Ctrl-C ends all of it, even if only xtask
/// hears of that.
pub fn serves() -> Result<()> {
    let mut run = Typed::new(&["run", "http"])?;
    let url = site::url(&mut run)?;
    site::get(&url, tools::copy)?;
    let started = processes(&run, QEMU)?;
    run.interrupt()?;
    site::ends(run, &url)?;
    are_gone(&started)
}

/// `run jitsu-guest` is a small web server under QEMU, where nobody has come before it was there.
pub fn serves_at_once() -> Result<()> {
    let mut run = Typed::new(&["run", "jitsu-guest"])?;
    let url = site::url(&mut run)?;
    site::get_top(&url, JUST_IN_TIME)?;
    run.press_ctrl_c()?;
    site::ends(run, &url)
}

/// The port of this machine that was asked for leads to that of the guest, which has heard from its
/// boot arguments which one that is. `options` say where it runs.
pub fn serves_at_port(options: &[&str]) -> Result<()> {
    let mut forwards = [Forward { host: 0, guest: 81, protocol: Protocol::Http }];
    let _reserved = choose_host_ports(&mut forwards)?;
    let port = format!("{}:81/http", forwards[0].host);
    let words = ["--port", &port, "--", "port=81"];
    let mut run = Typed::new(&[&["run", "http"], options, &words].concat())?;
    let url = site::url(&mut run)?;
    ensure!(url == forwards[0].to_string(), "{url} is not what was asked for: {}", forwards[0]);
    site::get(&url, tools::copy)?;
    run.press_ctrl_c()?;
    site::ends(run, &url)
}

/// `--timeout` ends a guest that goes on, not before its time, with all that was started for it.
pub fn times_out() -> Result<()> {
    let seconds = TIME.as_secs().to_string();
    let mut run = Typed::new(&["run", "http", "--timeout", &seconds])?;
    run.until("start of the guest", |text, _| text.contains("Running ").then_some(()))?;
    let start = Instant::now();
    run.until("URL", |text, _| text.contains("Serving ").then_some(()))?;
    let started = processes(&run, QEMU)?;
    run.end()?.with(TIMED_OUT)?.saying("its time was up")?;
    // The line was printed before the time began, and read after it was printed.
    ensure!(start.elapsed() + Duration::from_millis(100) > TIME, "it has ended early");
    are_gone(&started)
}

/// `run --disk` lets the guest read and write the file. `options` say where it runs.
pub fn keeps_data(options: &[&str]) -> Result<()> {
    let disk = TemporaryFile::disk("1M")?;
    let path = disk.path().to_str().context("a path is not UTF-8")?;
    for boot in 1..=2_u64 {
        let words = format!("It has been booted {boot} times.");
        let run = Typed::new(&[&["run", "disk", "--disk", path], options].concat())?;
        run.end()?.with(0)?.saying(&words)?;
        let content = fs::read(path)?;
        // The records lie in the first two sectors in turn.
        let sector = content.chunks(SECTOR).nth(usize::from(boot == 2));
        let record = sector.context("the disk has become smaller")?.strip_prefix(MAGIC);
        let count = record.context("there is no record in the file")?.first_chunk();
        ensure!(count == Some(&boot.to_le_bytes()), "the file counts {count:?} at boot {boot}");
    }
    Ok(())
}

/// `run --on unix` serves as well, with the same words. Ctrl-C ends all of it, even if only
/// xtask hears of that.
pub fn serves_as_process() -> Result<()> {
    let mut run = Typed::new(&["run", "http", "--platform", "unix"])?;
    let url = site::url(&mut run)?;
    site::get(&url, tools::copy)?;
    let started = processes(&run, "http")?;
    run.interrupt()?;
    site::ends(run, &url)?;
    are_gone(&started)
}

/// `run --tap` connects the guest to an interface, over which it is reached.
pub fn serves_on_tap() -> Verdict {
    on_tap(&["--tap", INTERFACE, "--", BOOT_ARGUMENT])
}

/// A process is connected to an interface that is there for it, without being told so.
pub fn process_takes_tap() -> Verdict {
    on_tap(&["--platform", "unix"])
}

/// Runs http where there is a network with a TAP interface.
fn on_tap(options: &[&str]) -> Verdict {
    if let Err(error) = Namespace::permitted() {
        return Verdict::Skipped(format!("{error:#}"));
    }
    match serves_inside(options) {
        Ok(()) => Verdict::Passed(1),
        Err(error) => Verdict::Failed(Failure::from(error)),
    }
}

fn serves_inside(options: &[&str]) -> Result<()> {
    let namespace = Namespace::new()?;
    let words = [&["run", "http"], options].concat();
    // Inside, because entering a user namespace takes the wish to die with us away.
    let command = namespace.inside(&tools::dying_with_us(xtask(&words)?));
    let mut run = Typed::start(command, Stdio::null())?;
    let url = site::url(&mut run)?;
    ensure!(url == format!("http://{GUEST_ADDRESS}/"), "it serves at {url}");
    site::get(&url, |curl| namespace.inside(curl))?;
    run.press_ctrl_c()?;
    run.end()?.with(super::typed::INTERRUPTED)?;
    Ok(())
}

/// What `run` has started, with a program among it whose name begins so.
fn processes(run: &Typed, program: &str) -> Result<Vec<Process>> {
    let started = outside::started_by(run.id());
    let runs = started.iter().any(|process| process.name.starts_with(program));
    ensure!(runs, "it has started no {program}, but {started:?}");
    Ok(started)
}

fn are_gone(started: &[Process]) -> Result<()> {
    let left: Vec<_> = started.iter().filter(|process| process.runs()).collect();
    ensure!(left.is_empty(), "it has left behind {left:?}");
    Ok(())
}
