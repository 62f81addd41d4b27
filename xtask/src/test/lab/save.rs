//! A guest that is saved and restored while it works (`dom0/save.sh`). Xen has this for x86-64 only.

use std::time::Duration;

use anyhow::Result;

use super::{Shared, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session};
use crate::test::case::Case;
use crate::test::guests::package;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// The test guest.
const GUEST: &str = "saved";

/// Memory, in MiB.
const MEMORY: u64 = 16;

/// The size of its disk, in MiB.
const SIZE: u64 = 4;

/// Its address.
const ADDRESS: &str = "10.99.0.60";

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// The test, where there is one.
///
/// # Errors
/// If the test guests cannot be found.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Result<Option<Case>> {
    if arch != Arch::X86_64 {
        return Ok(None);
    }
    let app = App { binary: GUEST.into(), ..package()?.app };
    let how = how.clone();
    Ok(Some(machine.case(name(arch), move |session| {
        let image = build::image_of(&app, arch, &how, &app.binary);
        with_console(&image, |console| run(session, &app, &image, console))
    })))
}

fn name(arch: Arch) -> String {
    format!("lab/xen/save/{arch}")
}

/// Builds the guest, if the test is among those called `names`.
///
/// # Errors
/// If it cannot be built.
pub fn compile(arch: Arch, how: &How, names: &[String]) -> Result<()> {
    if names.contains(&name(arch)) {
        build::build_all(&package()?.app, arch, how, &[GUEST.into()])?;
    }
    Ok(())
}

fn run(session: &mut Session, app: &App, image: &Image, console: &mut Vec<u8>) -> Result<()> {
    let arguments = [format!("ip={ADDRESS}/24")];
    let mut config = Config::for_lab(app, image, Some(MEMORY), &arguments)?;
    config.network = true;
    let file = format!("/guests/{}.img", config.name);
    // The place for names, and one name there.
    session.succeed(
        "xenstore-write /conduit '' && xenstore-chmod /conduit b0 && xenstore-write /conduit/dom0 0",
    )?;
    session.succeed(&format!("truncate -s {SIZE}M {file}; ip neigh flush dev xenbr0"))?;
    config.disks = vec![file.clone()];
    session.send_file(&quote(&config.kernel), &image.path)?;
    session.send("save.sh", include_bytes!("dom0/save.sh"))?;
    let mut domain = Domain::create(session, &config, false)?;
    let before = std::mem::replace(&mut session.patience, PATIENCE);
    let result = session.succeed(&format!("sh save.sh {} {ADDRESS}", quote(&config.name)));
    session.patience = before;
    let mut keep = |part: &[u8]| console.extend_from_slice(part);
    domain.follow(session, &mut keep).ok();
    domain.destroy(session)?;
    session.succeed(&format!("rm -f {file}; xenstore-rm /conduit"))?;
    result.map(|_| ())
}
