//! The commands that people type for Xen, as they type them: `run --on xen` and its dom0less sibling,
//! and those of `lab`, with machines of their own, and what `xl-cfg` writes, on the machine of the
//! other tests.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Shared;
use crate::arch::Arch;
use crate::lab::{Lab, Session, Xen};
use crate::temporary::TemporaryFile;
use crate::test::case::{Case, Verdict};
use crate::test::commands::site::{self, PAGE, PATH};
use crate::test::commands::typed::{Typed, xtask};
use crate::test::commands::{GREETING, run};
use crate::{paths, tools};

/// The address of the guest that `xl-cfg` configures.
const ADDRESS: &str = "10.99.0.12";

/// Has `run` start a guest of Xen.
const ON_XEN: [&str; 2] = ["--on", "xen"];

/// The tests that boot a machine of their own.
pub fn own_machines(arches: &[Arch]) -> Vec<Case> {
    let mut cases = Vec::new();
    for &arch in arches {
        let xen = Xen::of(arch);
        let mut add = |what: &str, xen: Xen, test: fn(Arch) -> Result<()>| {
            let name = format!("lab/commands/{what}/{arch}");
            cases.push(Case::counting(name, move || typed(xen, || test(arch))));
        };
        if arch == Arch::Armv7 {
            add("armhf", Xen::Armv7, |_| greets_on_32_bits());
            add("run-gic2", xen, counts_with_gicv2);
        }
        if arch == Arch::X86_64 {
            add("run-disk", xen, |_| run::keeps_data(&ON_XEN));
            add("run-port", xen, |_| run::serves_at_port(&ON_XEN));
            add("shell", xen, |_| has_a_prompt());
        }
        if arch != Arch::Armv7 {
            add("second-start", xen, goes_on);
        }
        add("run-http", xen, serves);
        add("run-hello", xen, |arch| greets("xen", arch));
        if xen == Xen::Aarch64 {
            add("run-dom0less", xen, |arch| greets("xen-dom0less", arch));
        }
    }
    cases
}

/// Runs a test whose commands need the packages of a Xen.
fn typed(xen: Xen, test: impl Fn() -> Result<()>) -> Verdict {
    // Whether Debian's servers can be reached says nothing about the code.
    if let Err(error) = Lab::fetch(xen) {
        return Verdict::Skipped(format!("{error:#}"));
    }
    match test() {
        Ok(()) => Verdict::Passed(1),
        Err(error) => Verdict::Failed(error.into()),
    }
}

/// The test of what `xl-cfg` writes.
pub fn xl_cfg(machine: &Shared, arch: Arch) -> Case {
    machine.case(format!("lab/xen/xl-cfg/{arch}"), move |session| Ok(is_enough(session, arch)?))
}

/// `run http --on xen` says where, and there is the site, until Ctrl-C.
fn serves(arch: Arch) -> Result<()> {
    let mut run = Typed::new(&["run", "http", "--on", "xen", "--arch", arch.name()])?;
    let url = site::url(&mut run)?;
    site::get(&url, tools::copy)?;
    run.interrupt()?;
    site::ends(run, &url)
}

/// `run hello` prints what the guest does, and ends with it.
fn greets(platform: &str, arch: Arch) -> Result<()> {
    let run = Typed::new(&["run", "hello", "--on", platform, "--arch", arch.name()])?;
    run.end()?.with(0)?.saying(GREETING).map(drop)
}

/// `run --gic 2` takes a machine with the older interrupt controller.
fn counts_with_gicv2(arch: Arch) -> Result<()> {
    let words = ["run", "timer", "--on", "xen", "--arch", arch.name(), "--gic", "2", "--"];
    let run = Typed::new(&[&words[..], &["count=3", "period=300ms"]].concat())?;
    run.end()?.with(0)?.saying("tick 3").map(drop)
}

/// `lab shell` is the console of dom0: what is typed is run, with the files that were given, until it
/// is switched off.
fn has_a_prompt() -> Result<()> {
    let (config, image) = configured("hello", Arch::X86_64, &[])?;
    let config = config.path().to_str().context("a path is not UTF-8")?;
    let words = ["lab", "shell", "--file", config, "--file", &image];
    let mut shell = Typed::start(xtask(&words)?, Stdio::piped())?;
    shell.until("prompt", |text, _| text.contains(PROMPT).then_some(()))?;
    // What is typed before the guest has ended would be for the guest.
    shell.type_line("xl create -c xl-cfg; xl list && echo $((6 * 7)) domains")?;
    shell.until("answer", |text, _| text.contains("\n42 domains").then_some(()))?;
    shell.type_line("poweroff -f")?;
    shell.end()?.with(0)?.saying("Domain-0")?.saying(GREETING).map(drop)
}

/// The prompt of dom0, in the directory where guests are.
const PROMPT: &str = "/guests #";

/// What is different each time that dom0 boots: when its kernel did what, in microseconds, once its
/// clock runs.
const TIMES: &str = r"dmesg | grep -v '\[ *0\.000000\]' | head -n 50";

/// The second start goes on from where the first had come to, and `--fresh` boots.
fn goes_on(arch: Arch) -> Result<()> {
    let xen = Xen::of(arch).arch().name();
    let boot = |options: &[&str]| -> Result<String> {
        let words = ["lab", "exec", "--arch", xen, TIMES];
        Ok(Typed::new(&[&words[..], options].concat())?.end()?.with(0)?.stdout)
    };
    let (first, second, fresh) = (boot(&[])?, boot(&[])?, boot(&["--fresh"])?);
    ensure!(first.contains("] "), "this is no kernel's log:\n{first}");
    ensure!(first == second, "dom0 has booted again:\n{first}\n{second}");
    ensure!(first != fresh, "dom0 has not booted, in spite of --fresh");
    Ok(())
}

/// Has `xl-cfg` configure a release image. Returns the configuration and the path of the image.
fn configured(app: &str, arch: Arch, arguments: &[&str]) -> Result<(TemporaryFile, String)> {
    let config = TemporaryFile::new("xl-cfg")?;
    let path = config.path().to_str().context("a path is not UTF-8")?;
    let words = ["xl-cfg", app, "--release", "--arch", arch.name(), "--output", path, "--"];
    let text = Typed::new(&[&words[..], arguments].concat())?.end()?.with(0)?.text;
    // It says where the image is.
    let image = text.lines().find_map(|line| line.split_once("for the image "));
    let (_, image) = image.with_context(|| format!("xl-cfg names no image:\n{text}"))?;
    Ok((config, image.trim().to_owned()))
}

/// `xl` creates a guest by what `xl-cfg` writes, and it serves with the memory that is the least: with a
/// MiB less, `xl` cannot create it.
fn is_enough(session: &mut Session, arch: Arch) -> Result<()> {
    let (config, image) = configured("http", arch, &[&format!("ip={ADDRESS}/24")])?;
    session.succeed("mkdir -p xl-cfg")?;
    session.send_file("xl-cfg/http", image.as_ref())?;
    session.send_file("xl-cfg/http.cfg", config.path())?;
    let created = session.succeed("cd xl-cfg && xl create http.cfg");
    let served = created.and_then(|_| serves_dom0(session));
    session.succeed("xl destroy http")?;
    let with_less = session.run(
        "cd xl-cfg && least=$(sed -n 's/^memory = //p' http.cfg) && \
         sed \"s/^memory = .*/memory = $((least - 1))/\" http.cfg >less.cfg && \
         ! xl create less.cfg 2>&1 || { xl destroy http; false; }",
    )?;
    session.succeed("rm -r xl-cfg")?;
    served?;
    ensure!(with_less.status == 0, "a MiB less is enough, too:\n{}", with_less.text());
    Ok(())
}

/// `lab exec` boots Xen of 32 bits, which creates a guest by what `xl-cfg` writes.
fn greets_on_32_bits() -> Result<()> {
    let (config, image) = configured("hello", Arch::Armv7, &[])?;
    let path = config.path().to_str().context("a path is not UTF-8")?;
    let name = config.path().file_name().and_then(|name| name.to_str()).context("it has a name")?;
    let log = "/var/log/xen/console/guest-hello.log";
    let command = format!(
        "uname -m; xl create {name}; i=0; until grep '{GREETING}' {log}; do \
         i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 0.5; done"
    );
    let words = ["lab", "exec", "--arch", "armv7", "--file", path, "--file", &image, &command];
    let text = Typed::new(&words)?.end()?.with(0)?.saying("armv7l")?.text;
    let greets = text.lines().any(|line| line.trim() == GREETING);
    ensure!(greets, "the guest does not greet:\n{text}");
    Ok(())
}

fn serves_dom0(session: &mut Session) -> Result<()> {
    session.succeed("ip neigh flush dev xenbr0")?;
    let get = format!(
        "printf 'GET /{PATH} HTTP/1.0\\r\\nHost: guest\\r\\n\\r\\n' | nc -w 5 {ADDRESS} 80"
    );
    session.succeed(&format!(
        "i=0; until {get} | grep -q 200; do i=$((i+1)); [ $i -lt 60 ] || exit 1; sleep 0.5; done"
    ))?;
    // Behind the empty line that ends the header.
    let sums = session.succeed(&format!("{get} | sed '1,/^\r$/d' | sha256sum"))?;
    let file = paths::repository().join(PAGE);
    let expected = tools::output(Command::new("sha256sum").arg(&file))?;
    let sum = |text: &str| text.split_whitespace().next().map(str::to_owned);
    if sum(&sums) != sum(&expected) {
        bail!("dom0 has got {sums} instead of {expected}");
    }
    Ok(())
}
