//! Many bytes between dom0 and a guest, both ways at once, and all of them checked.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Shared;
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session, Xen};
use crate::linux;
use crate::paths;
use crate::test::case::Case;
use crate::test::guest::failure;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// Memory, in MiB.
const MEMORY: u64 = 16;

/// MiB that go each way by IPv4, and by IPv6.
const AMOUNTS: [(&str, u64); 2] = [("10.99.0.2", 64), ("fd99::2", 8)];

/// What dom0 has to do before. It must not know the address of an earlier guest any more: the bridge
/// would send what is for that to everybody, and QEMU's network takes every packet for its own.
const PREPARE: &str = "chmod +x bulk-client; ip -6 address add fd99::1/64 dev xenbr0 2>/dev/null; \
                       ip neigh flush dev xenbr0";

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The guest checks what dom0 sends to it, and dom0 what the guest sends.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Case {
    let how = how.clone();
    machine.case(format!("lab/xen/bulk/{arch}"), move |session| {
        let app = app()?;
        let image = build::image_of(&app, arch, &how, &app.binary);
        let mut console = Vec::new();
        run(session, &app, &image, &mut console).map_err(|error| {
            let console = String::from_utf8_lossy(&console).replace('\r', "");
            failure(&error, &console, Some(&image))
        })
    })
}

/// Builds the guest, and the program that dom0 runs.
///
/// # Errors
/// If one cannot be built.
pub fn compile(arch: Arch, how: &How) -> Result<()> {
    build::build(&app()?, arch, how)?;
    client(arch).map(|_| ())
}

fn app() -> Result<App> {
    let directory = paths::repository().join("tests/bulk");
    App::find(&directory.to_string_lossy(), Some("checked"))
}

/// Builds the program that dom0 runs for guests of an architecture, and says where it is.
fn client(arch: Arch) -> Result<PathBuf> {
    linux::program("bulk-client", Xen::of(arch).arch())
}

fn run(session: &mut Session, app: &App, image: &Image, console: &mut Vec<u8>) -> Result<()> {
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let arguments = ["ip=10.99.0.2/24".to_owned(), "ip6=fd99::2/64".to_owned()];
    let config = Config {
        name: format!("checked-{}", image.arch),
        network: true,
        ..Config::for_lab(app, image, Some(MEMORY), &arguments)?
    };
    session.send(&quote(&config.kernel), &read(&image.path)?)?;
    session.send("bulk-client", &read(&client(image.arch)?)?)?;
    session.succeed(PREPARE)?;
    let mut domain = Domain::create(session, &config, false)?;
    let moved = move_bytes(session);
    let mut keep = |part: &[u8]| console.extend_from_slice(part);
    domain.follow(session, &mut keep)?;
    domain.destroy(session)?;
    moved
}

fn move_bytes(session: &mut Session) -> Result<()> {
    let start = Instant::now();
    let before = std::mem::replace(&mut session.patience, PATIENCE);
    for (address, mebibytes) in AMOUNTS {
        let moved = session.run(&format!("./bulk-client {address} {mebibytes} 2>&1"))?;
        ensure!(moved.status == 0, "{address}: {}", moved.text());
    }
    session.patience = before;
    ensure!(start.elapsed() < PATIENCE, "it takes {} s", start.elapsed().as_secs());
    Ok(())
}
