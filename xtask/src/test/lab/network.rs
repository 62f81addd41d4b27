//! A guest that is reached from outside: through QEMU, the network card and the bridge of dom0, and
//! its netback.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{Shared, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session};
use crate::run::answers;
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// Memory, in MiB.
const MEMORY: u64 = 16;

/// How long it may take until the guest answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The example http serves a client on this machine.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Case {
    let (port, how) = (machine.port, how.clone());
    machine.case(format!("lab/xen/http/{arch}"), move |session| {
        let app = App::find("http", None)?;
        let image = build::image_of(&app, arch, &how, &app.binary);
        with_console(&image, |console| run(session, &app, &image, port, console))
    })
}

fn run(
    session: &mut Session,
    app: &App,
    image: &Image,
    port: u16,
    console: &mut Vec<u8>,
) -> Result<()> {
    let config = Config {
        name: format!("http-{}", image.arch),
        network: true,
        ..Config::for_lab(app, image, Some(MEMORY), &[])?
    };
    session.send_file(&quote(&config.kernel), &image.path)?;
    let mut domain = Domain::create(session, &config, false)?;
    let served = until_it_answers(session, &mut domain, port, console);
    domain.destroy(session)?;
    served
}

fn until_it_answers(
    session: &mut Session,
    domain: &mut Domain,
    port: u16,
    console: &mut Vec<u8>,
) -> Result<()> {
    let start = Instant::now();
    while !answers(port) {
        let mut keep = |part: &[u8]| console.extend_from_slice(part);
        if let Some(ending) = domain.follow(session, &mut keep)? {
            bail!("it ended with {ending:?}");
        }
        ensure!(start.elapsed() < PATIENCE, "it does not answer in {} s", PATIENCE.as_secs());
    }
    Ok(())
}
