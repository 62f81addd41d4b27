//! Guests beside a Linux: each sends the other bytes and gets them back, and dom0 reaches them by
//! curl, ping and dig as people have them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{Shared, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{CLIENTS, Domain, LINUX_ADDRESS, LinuxGuest, Session, Xen};
use crate::test::case::{Case, Failure};
use crate::test::guests::package;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// The test guest, its address and its memory, in MiB.
const GUEST: &str = "neighbour";
const ADDRESS: &str = "10.99.0.2";
const MEMORY: u64 = 16;

/// What the guest says when it has got its bytes back, and what Linux does.
const DONE: &str = "1048576 bytes came back as they were";
const LINUX_DONE: &str = "262144 bytes and 100 datagrams came back as they were";

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What dom0 does, and what that has to print.
const CLIENT_COMMANDS: [(&str, &str); 3] = [
    ("curl --silent --show-error --max-time 60 http://10.99.0.2/", "neighbour\n"),
    ("ping -n -c 3 -s 1400 10.99.0.2", "3 packets transmitted, 3 received"),
    ("dig @10.99.0.2 +short +timeout=20 anything.example A", "192.0.2.7\n"),
];

const NAME: &str = "lab/xen/linux/";

/// One Linux, and a guest of each architecture.
pub fn case(machine: &Shared, arches: &[Arch], how: &How) -> Case {
    let (xen, arches, how) = (machine.xen, arches.to_vec(), how.clone());
    machine.case(format!("{NAME}{}", xen.arch()), move |session| {
        let linux = LinuxGuest::prepare(xen.arch())?;
        let clients = CLIENTS.fetch(xen)?;
        linux.send(session)?;
        clients.send(session)?;
        let mut running = Domain::create(session, &linux.config(Vec::new()), false)?;
        let result = beside(session, &mut running, &arches, &how);
        running.destroy(session)?;
        LinuxGuest::remove(session)?;
        CLIENTS.remove(session)?;
        result
    })
}

/// Whether a test called so has a guest of this architecture.
pub fn has_guest(name: &str, arch: Arch) -> bool {
    name.strip_prefix(NAME).is_some_and(|xen| xen == Xen::of(arch).arch().to_string())
}

/// Builds the guest.
///
/// # Errors
/// If it cannot be built.
pub fn compile(arch: Arch, how: &How) -> Result<()> {
    build::build_all(&package()?.app, arch, how, &[GUEST.into()])?;
    Ok(())
}

fn beside(
    session: &mut Session,
    linux: &mut Domain,
    arches: &[Arch],
    how: &How,
) -> Result<(), Failure> {
    until(session, linux, "the server is ready", &mut Vec::new()).context("Linux")?;
    let app = App { binary: GUEST.into(), ..package()?.app };
    for &arch in arches {
        let image = build::image_of(&app, arch, how, &app.binary);
        with_console(&image, |console| run(session, &app, &image, console))?;
    }
    Ok(())
}

fn run(session: &mut Session, app: &App, image: &Image, console: &mut Vec<u8>) -> Result<()> {
    let arguments = [format!("ip={ADDRESS}/24")];
    let config = Config {
        name: format!("{GUEST}-{}", image.arch),
        network: true,
        ..Config::for_lab(app, image, Some(MEMORY), &arguments)?
    };
    session.send_file(&quote(&config.kernel), &image.path)?;
    // The guest before may have had the address.
    session.succeed("ip neigh flush dev xenbr0")?;
    let mut domain = Domain::create(session, &config, false)?;
    let result = until(session, &mut domain, DONE, console)
        .and_then(|()| linux_reaches_it(session))
        .and_then(|()| dom0_reaches_it(session));
    let mut keep = |part: &[u8]| console.extend_from_slice(part);
    domain.follow(session, &mut keep).ok();
    domain.destroy(session)?;
    result
}

/// Waits until a guest has printed something.
fn until(
    session: &mut Session,
    domain: &mut Domain,
    text: &str,
    console: &mut Vec<u8>,
) -> Result<()> {
    let start = Instant::now();
    while !String::from_utf8_lossy(console).contains(text) {
        let mut keep = |part: &[u8]| console.extend_from_slice(part);
        if let Some(ending) = domain.follow(session, &mut keep)? {
            bail!("it ended with {ending:?}");
        }
        ensure!(start.elapsed() < PATIENCE, "no `{text}` in {} s", PATIENCE.as_secs());
    }
    Ok(())
}

fn linux_reaches_it(session: &mut Session) -> Result<()> {
    let told = format!("echo {ADDRESS} 262144 | nc -w 60 {LINUX_ADDRESS} 4");
    let said = session.succeed(&told)?;
    ensure!(said.contains(LINUX_DONE), "Linux says `{}`", said.trim_end());
    Ok(())
}

fn dom0_reaches_it(session: &mut Session) -> Result<()> {
    for (command, expected) in CLIENT_COMMANDS {
        let printed =
            session.succeed(&format!("LD_LIBRARY_PATH={0} {0}/{command}", CLIENTS.place))?;
        ensure!(printed.contains(expected), "`{command}` prints:\n{printed}");
    }
    Ok(())
}
