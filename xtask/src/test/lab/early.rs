//! A guest that ends before it has a console: what it says is on Xen's own, by the debug port. Xen has
//! that on x86 only.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Shared;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{How, Image};
use crate::lab::Session;
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// What xl keeps from the guest: pages that hold no code.
const CPUID: &str = "cpuid = \"host,nx=0\"\n";
/// How the guest's complaint begins, which is harmless in Xen's log ([`super::logs`]).
pub const COMPLAINT: &str = "mayfly: this processor has no";
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The test, where there is one.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Option<Case> {
    (arch == Arch::X86_64).then(|| {
        machine.with_example("early", "hello", arch, how, |session, app, image| {
            Ok(run(session, app, image)?)
        })
    })
}

fn run(session: &mut Session, app: &App, image: &Image) -> Result<()> {
    let config = Config::for_lab(app, image, None, &[])?;
    session.send_file(&quote(&config.kernel), &image.path)?;
    session.send("early.cfg", (config.text() + CPUID).as_bytes())?;
    let before = lines(&session.console_since_ready());
    session.succeed("xl create early.cfg")?;
    let start = Instant::now();
    let mut said = String::new();
    while lines(&said) == before && start.elapsed() < PATIENCE {
        session.succeed("sleep 0.2")?;
        said = session.console_since_ready();
    }
    // It may have ended by itself.
    session.run(&format!("xl destroy {} 2>/dev/null", quote(&config.name)))?;
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    ensure!(lines(&said) > before, "Xen's console does not show `{COMPLAINT}`: {last:?}");
    Ok(())
}

/// How often there is a complaint.
fn lines(console: &str) -> usize {
    console.matches(COMPLAINT).count()
}
