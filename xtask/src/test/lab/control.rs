//! What xl can do with a guest that runs: pause it, ask it about itself, shut it down, reboot it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Shared;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{How, Image};
use crate::lab::{Domain, Ending, Reason, Session};
use crate::run::answers;
use crate::test::case::Case;
use crate::test::guest::failure;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// Memory, in MiB.
const MEMORY: u64 = 16;
/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The test with the example http.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Case {
    let port = machine.port;
    machine.with_example("xl", "http", arch, how, move |session, app, image| {
        let content = std::fs::read(&image.path).context("cannot read the image of http")?;
        session.send(&quote(&app.binary), &content)?;
        for (orders, end) in [
            (
                &["t", "m", "x"][..],
                (Some("shutdown"), Ending { status: 0, reason: Reason::PowerOff }),
            ),
            (&[], (Some("reboot"), Ending { status: 0, reason: Reason::Reboot })),
            (&["c"], (None, Ending { status: 101, reason: Reason::Crash })),
        ] {
            let config = Config::for_lab(app, image, Some(MEMORY), &[])?;
            let config = Config { network: true, ..config };
            let mut guest = Guest::create(session, config, arch, port)?;
            let result = guest.obeys(session, orders, end);
            let console = guest.console();
            guest.domain.destroy(session)?;
            result.map_err(|error| failure(&error, &console, Some(image)))?;
        }
        Ok(is_made_anew(session, app, image, port)?)
    })
}

/// The test with an app that has no devices.
pub fn without_devices(machine: &Shared, arch: Arch, how: &How) -> Case {
    machine.with_example("xl-timer", "timer", arch, how, move |session, app, image| {
        let arguments = ["count=1000000", "period=100ms"].map(str::to_owned);
        let config = Config::for_lab(app, image, Some(MEMORY), &arguments)?;
        session.send_file(&quote(&config.kernel), &image.path)?;
        let mut guest = Guest::create(session, config, arch, 0)?;
        let result = guest.is_shut_down(session);
        let console = guest.console();
        guest.domain.destroy(session)?;
        result.map_err(|error| failure(&error, &console, Some(image)))
    })
}

/// With the configuration that people have, xl makes a guest anew that reboots, and that serves again.
fn is_made_anew(session: &mut Session, app: &App, image: &Image, port: u16) -> Result<()> {
    let name = format!("anew-{}", image.arch);
    let config = Config::for_lab(app, image, Some(MEMORY), &[])?;
    // xl waits for the reboot in another directory.
    let here = session.succeed("pwd")?;
    let kernel = format!("{}/{}", here.trim(), config.kernel);
    let config = Config { name: name.clone(), kernel, network: true, preserve: false, ..config };
    let name = quote(&name);
    session.send(&format!("{name}.cfg"), config.text().as_bytes())?;
    session.succeed(&format!("xl create {name}.cfg"))?;
    let serves_as_other_than = |session: &mut Session, before: &str| -> Result<String> {
        let start = Instant::now();
        loop {
            // Between the two there is none with that name.
            let id = session.run(&format!("xl domid {name} 2>/dev/null"))?.text();
            if !id.trim().is_empty() && id != before && answers(port) {
                return Ok(id);
            }
            ensure!(start.elapsed() < PATIENCE, "no guest but domain {before:?} serves");
        }
    };
    let second = serves_as_other_than(session, "").and_then(|first| {
        session.succeed(&format!("xl reboot {name}"))?;
        serves_as_other_than(session, &first)
    });
    // Whichever of them is there.
    let listed = session.run(&format!("xl list; tail -n 5 /var/log/xen/xl-{name}.log"))?.text();
    session.run(&format!("xl destroy {name}"))?;
    second.map(drop).with_context(|| format!("dom0 has:\n{listed}"))
}

/// A guest that serves.
struct Guest {
    domain: Domain,
    arch: Arch,
    name: String,
    port: u16,
    console: Vec<u8>,
}

impl Guest {
    fn create(session: &mut Session, config: Config, arch: Arch, port: u16) -> Result<Self> {
        let name = format!("xl-{arch}");
        let config = Config { name: name.clone(), ..config };
        let domain = Domain::create(session, &config, false)?;
        Ok(Self { domain, arch, name, port, console: Vec::new() })
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&self.console).replace('\r', "")
    }

    /// Checks that it can be paused, does what `xl sysrq` says, and ends when it is told to.
    fn obeys(
        &mut self,
        session: &mut Session,
        orders: &[&str],
        (end, expected): (Option<&str>, Ending),
    ) -> Result<()> {
        let port = self.port;
        self.until(session, "it does not answer", &|_| answers(port))?;
        let xl = |command: &str| format!("xl {command} {}", quote(&self.name));
        let (pause, unpause, sysrq) = (xl("pause"), xl("unpause"), xl("sysrq"));
        let end = end.map(xl);
        session.succeed(&pause)?;
        ensure!(!answers(port), "it answers although it is paused");
        session.succeed(&unpause)?;
        self.until(session, "it does not answer after a pause", &|_| answers(port))?;
        for order in orders {
            session.succeed(&format!("{sysrq} {order}"))?;
            let answer = match *order {
                // The task that prints it is one of them.
                "t" => "netfront",
                "m" => "memory: ",
                "c" => "dom0 asked for it",
                _ => "`x` is not something that this guest can do",
            };
            let complaint = format!("it does not answer to `xl sysrq {order}`");
            self.until(session, &complaint, &|console| console.contains(answer))?;
        }
        if self.arch != Arch::X86_64 && end.is_some() {
            // Xen has it for x86 only, and xl knows that.
            session.succeed(&format!(
                "xenstore-write /local/domain/$(xl domid {})/control/shutdown suspend",
                quote(&self.name)
            ))?;
            let refused = |console: &str| {
                console.contains("`suspend` is not something that this guest can do")
            };
            self.until(session, "it does not refuse to be suspended", &refused)?;
        }
        if let Some(end) = end {
            session.succeed(&end)?;
        }
        let ending = self.ending(session)?;
        ensure!(ending == expected, "it ended with {ending:?} instead of {expected:?}");
        Ok(())
    }

    /// Ends when xl tells it to, in the middle of what it does.
    fn is_shut_down(&mut self, session: &mut Session) -> Result<()> {
        self.until(session, "it does not tick", &|console| console.contains("tick 3"))?;
        session.succeed(&format!("xl shutdown {}", quote(&self.name)))?;
        let (ending, expected) =
            (self.ending(session)?, Ending { status: 0, reason: Reason::PowerOff });
        ensure!(ending == expected, "it ended with {ending:?} instead of {expected:?}");
        Ok(())
    }

    fn until(
        &mut self,
        session: &mut Session,
        complaint: &str,
        is_over: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        while !is_over(&self.console()) {
            let mut keep = |part: &[u8]| self.console.extend_from_slice(part);
            if let Some(ending) = self.domain.follow(session, &mut keep)? {
                // What it said last has come with that.
                ensure!(is_over(&self.console()), "it ended with {ending:?}");
            }
            ensure!(start.elapsed() < PATIENCE, "{complaint} in {} s", PATIENCE.as_secs());
        }
        Ok(())
    }

    fn ending(&mut self, session: &mut Session) -> Result<Ending> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let mut keep = |part: &[u8]| self.console.extend_from_slice(part);
            if let Some(ending) = self.domain.follow(session, &mut keep)? {
                return Ok(ending);
            }
        }
        bail!("it does not end in {} s", PATIENCE.as_secs())
    }
}
