//! Guests that are reached through the bridge of dom0 and its netback: from outside, through QEMU and
//! the network card of dom0, and from dom0 itself.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{Shared, WITH_GICV2, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{How, Image};
use crate::lab::{Domain, Reason, Session};
use crate::run::answers;
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// Memory, in MiB.
const MEMORY: u64 = 16;

/// How long it may take until the guest answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address of the example echo.
const ECHO: &str = "10.99.0.4";
/// How large the file is that dom0 sends it, in MiB: of images that ship, and of others, because dom0
/// takes a minute and a half for the sums of the large one; and where it is about something else.
const FILE: u32 = 64;
const SMALLER_FILE: u32 = 8;
const SHORT_FILE: u32 = 1;
/// How long it may take until it is back.
const FILE_PATIENCE: Duration = Duration::from_secs(300);

/// The longest packet, where there is more than the usual one, and pings that nearly take it.
const MTU: usize = 9000;
const LONG_PING: &str = "ping -c 2 -W 2 -s 8900";

/// The examples http, which serves a client on this machine, and echo, which serves dom0, also with
/// packets as long as can be.
pub fn cases(machine: &Shared, arch: Arch, how: &How) -> Vec<Case> {
    vec![
        http(machine, "", arch, how),
        echo(machine, arch, how),
        jumbo(machine, arch, how),
        silent_store(machine, arch, how),
    ]
}

/// The example http, on a machine with the older interrupt controller.
pub fn with_gicv2(machine: &Shared, arch: Arch, how: &How) -> Case {
    http(machine, WITH_GICV2, arch, how)
}

/// A test whose name ends with `suffix`.
fn http(machine: &Shared, suffix: &str, arch: Arch, how: &How) -> Case {
    let port = machine.port;
    let name = format!("http{suffix}");
    machine.with_example(&name, "http", arch, how, move |session, app, image| {
        with_console(image, |console| {
            run(session, app, image, &[], &mut |session, domain| {
                until_it_answers(session, domain, port, console)
            })
        })
    })
}

fn echo(machine: &Shared, arch: Arch, how: &How) -> Case {
    let file = if how.release { FILE } else { SMALLER_FILE };
    machine.with_example("echo", "echo", arch, how, move |session, app, image| {
        let arguments = [format!("ip={ECHO}/24")];
        with_console(image, |console| {
            run(session, app, image, &arguments, &mut |session, domain| {
                let result = echoes(session, file);
                domain.follow(session, &mut |part| console.extend_from_slice(part))?;
                result
            })
        })
    })
}

/// While the daemon of XenStore does nothing, a guest works that has connected; and when it does again,
/// the guest hears what it is told.
fn silent_store(machine: &Shared, arch: Arch, how: &How) -> Case {
    machine.with_example("silent-store", "echo", arch, how, move |session, app, image| {
        let arguments = [format!("ip={ECHO}/24")];
        with_console(image, |console| {
            run(session, app, image, &arguments, &mut |session, domain| {
                echoes(session, SHORT_FILE)?;
                session.succeed("kill -STOP $(pidof xenstored)")?;
                let echoed = echoes(session, SHORT_FILE);
                session.succeed("kill -CONT $(pidof xenstored)")?;
                echoed?;
                session.succeed(&format!("xl shutdown {}-{arch}", app.binary))?;
                let mut keep = |part: &[u8]| console.extend_from_slice(part);
                let ending = domain.wait(session, PATIENCE, &mut keep)?;
                ensure!(ending.reason == Reason::PowerOff, "it ended with {ending:?}");
                Ok(())
            })
        })
    })
}

/// dom0 allows longer packets, and tells netfront. The guest puts no fragments together, so that a long
/// ping is one packet both ways.
fn jumbo(machine: &Shared, arch: Arch, how: &How) -> Case {
    machine.with_example("jumbo", "echo", arch, how, move |session, app, image| {
        let config = Config {
            name: format!("jumbo-{arch}"),
            network: true,
            ..Config::for_lab(app, image, Some(MEMORY), &[format!("ip={ECHO}/24")])?
        };
        session.send_file(&quote(&config.kernel), &image.path)?;
        with_console(image, |console| {
            let mut domain = Domain::create(session, &config, true)?;
            let result = domain.wait_until_there(session, PATIENCE).and_then(|()| {
                let id = session.succeed(&format!("xl domid {}", config.name))?;
                takes_long_packets(session, &domain, id.trim())
            });
            domain.follow(session, &mut |part| console.extend_from_slice(part))?;
            domain.destroy(session)?;
            session.succeed("ip link set xenbr0 mtu 1500")?;
            result
        })
    })
}

fn takes_long_packets(session: &mut Session, domain: &Domain, id: &str) -> Result<()> {
    // Before the guest looks.
    session.succeed(&format!("xenstore-write /local/domain/{id}/device/vif/0/mtu {MTU}"))?;
    domain.unpause(session)?;
    let is_there = format!("until ping -c 1 -W 1 {ECHO}; do sleep 0.2; done");
    session.succeed(&format!("timeout {} sh -c '{is_there}'", PATIENCE.as_secs()))?;
    let usual = session.run(&format!("{LONG_PING} {ECHO}"))?;
    ensure!(usual.status != 0, "fragments are put together, so that nothing is shown by pings");
    // netback takes it from a front end that takes packets in several pieces.
    session.succeed(&format!(
        "ip link set vif{id}.0 mtu {MTU} && ip link set xenbr0 mtu {MTU} && {LONG_PING} {ECHO}"
    ))?;
    echoes(session, SHORT_FILE)
}

/// A file of so many MiB that dom0 sends comes back as it was.
fn echoes(session: &mut Session, mebibytes: u32) -> Result<()> {
    session.succeed("ip neigh flush dev xenbr0")?;
    let is_there =
        format!("until echo anyone | nc -w 5 {ECHO} 7 | grep -q anyone; do sleep 0.2; done");
    session.succeed(&format!("timeout {} sh -c '{is_there}'", PATIENCE.as_secs()))?;
    session.succeed(&format!("head -c {} /dev/urandom >file", mebibytes << 20))?;
    // Most of the time goes into the sums, on an emulated processor.
    let before = std::mem::replace(&mut session.patience, FILE_PATIENCE);
    let sums =
        session.succeed(&format!("nc -w 60 {ECHO} 7 <file | sha256sum; sha256sum <file; rm file"));
    session.patience = before;
    let sums = sums?;
    let sums: Vec<&str> = sums.lines().collect();
    ensure!(sums.len() == 2 && sums[0] == sums[1], "what came back is not what was sent: {sums:?}");
    Ok(())
}

/// Runs a guest on the bridge, and looks at it.
fn run(
    session: &mut Session,
    app: &App,
    image: &Image,
    arguments: &[String],
    look: &mut dyn FnMut(&mut Session, &mut Domain) -> Result<()>,
) -> Result<()> {
    let config = Config {
        name: format!("{}-{}", app.binary, image.arch),
        network: true,
        ..Config::for_lab(app, image, Some(MEMORY), arguments)?
    };
    session.send_file(&quote(&config.kernel), &image.path)?;
    let mut domain = Domain::create(session, &config, false)?;
    let looked = look(session, &mut domain);
    domain.destroy(session)?;
    looked
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
