//! Several guests at once.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Shared;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};
use crate::lab::{Domain, Ending, Reason, Session};
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// How many there are.
const COUNT: usize = 8;

/// Memory of each, in MiB.
const MEMORY: u64 = 4;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Eight guests, of all architectures that the machine has guests of, run at the same time.
pub fn case(machine: &Shared, arches: &[Arch], how: &How) -> Case {
    let (arches, how) = (arches.to_vec(), how.clone());
    machine.case(format!("lab/xen/eight-at-once/{}", machine.xen.arch()), move |session| {
        Ok(run(session, &arches, &how)?)
    })
}

fn run(session: &mut Session, arches: &[Arch], how: &How) -> Result<()> {
    let mut domains = Vec::new();
    let result =
        create(session, arches, how, &mut domains).and_then(|()| run_all(session, &mut domains));
    for domain in domains {
        domain.destroy(session)?;
    }
    result
}

/// Creates them, paused: dom0 takes longer to create eight than they take to run.
fn create(
    session: &mut Session,
    arches: &[Arch],
    how: &How,
    domains: &mut Vec<Domain>,
) -> Result<()> {
    let app = App::find("timer", None)?;
    for (at, &arch) in arches.iter().enumerate() {
        let image = build::image_of(&app, arch, how, &app.binary);
        let kernel = format!("timer-{arch}");
        session.send_file(&quote(&kernel), &image.path)?;
        for number in (at..COUNT).step_by(arches.len()) {
            let arguments = ["count=15".to_owned(), "period=200ms".to_owned()];
            let mut config = Config::for_lab(&app, &image, Some(MEMORY), &arguments)?;
            config.name = format!("timer-{number}");
            config.kernel.clone_from(&kernel);
            domains.push(Domain::create(session, &config, true)?);
        }
    }
    for domain in domains {
        domain.wait_until_there(session, PATIENCE)?;
    }
    Ok(())
}

fn run_all(session: &mut Session, domains: &mut [Domain]) -> Result<()> {
    for domain in &*domains {
        domain.unpause(session)?;
    }
    for domain in domains {
        let mut bytes = Vec::new();
        let ending = domain.wait(session, PATIENCE, &mut |part| bytes.extend_from_slice(part))?;
        let console = String::from_utf8_lossy(&bytes);
        ensure!(console.contains("tick 15"), "a guest does not tick 15 times:\n{console}");
        ensure!(
            ending == Ending { status: 0, reason: Reason::PowerOff },
            "a guest ended with {ending:?}"
        );
    }
    Ok(())
}
