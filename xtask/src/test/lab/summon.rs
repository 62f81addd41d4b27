//! A guest that takes over connections from before it was there: clients in dom0 ask for some, a
//! recorder ([`tests/recorder`]) writes that down, and only then the guest is created.
//!
//! A client asks again after one second, after three, after seven. Should that happen in the moment
//! in which the guest listens and has not read the records, it is answered like anybody, and not
//! taken over. The clients ask at different times, so that is one of them at most.
//!
//! [`tests/recorder`]: ../../../../tests/recorder/src/main.rs

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{Shared, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session, Xen};
use crate::linux;
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::{Config, LAB_MAC};

/// The example.
pub const EXAMPLE: &str = "jitsu-guest";

/// The guest's address, on the network of dom0's bridge.
const ADDRESS: &str = "10.99.0.77";
/// Its name in XenStore.
const NODE: &str = "/ip/10-99-0-77";
/// A record that nobody can use, of a client that is not there.
const BAD_RECORD: &str = "/ip/10-99-0-77/80/10-99-0-200/5/syn/sequence";
/// One that the guest can read, and not remove.
const STUBBORN_RECORD: &str = "/ip/10-99-0-77/80/10-99-0-201/6";
/// How the page ends.
const PAGE: &str = "<p>Just in time.\n";

/// Clients that come before the guest is there.
const CLIENTS: usize = 3;
/// How many seconds one comes after the other.
const STEP: &str = "0.3";

/// Memory, in MiB.
const MEMORY: u64 = 8;
/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs for dom0.
///
/// # Errors
/// If they cannot be built.
pub fn compile(arch: Arch) -> Result<()> {
    recorder(arch).map(drop)
}

fn recorder(arch: Arch) -> Result<PathBuf> {
    linux::program("recorder", "recorder", Xen::of(arch).arch())
}

/// The test with the example.
pub fn case(machine: &Shared, arch: Arch, how: &How) -> Case {
    let how = how.clone();
    machine.case(format!("lab/xen/{EXAMPLE}/{arch}"), move |session| {
        let app = App::find(EXAMPLE, None)?;
        let image = build::image_of(&app, arch, &how, &app.binary);
        with_console(&image, |console| {
            let result = record(session, arch)
                .and_then(|()| run(session, &app, &image, console))
                .map_err(|error| {
                    let said = session.succeed("cat recorder.log").unwrap_or_default();
                    error.context(format!("the recorder says:\n{said}"))
                });
            // The next test begins without any of it.
            session.run(&format!(
                "kill $(cat recorder.pid) $(cat client.pid) 2>/dev/null; arp -d {ADDRESS}; \
                 rm -f recorder* client* page*; xenstore-rm /ip"
            ))?;
            result
        })
    })
}

/// Starts the recorder, and a client when that listens; waits until it was recorded.
fn record(session: &mut Session, arch: Arch) -> Result<()> {
    session.send_file("recorder", &recorder(arch)?)?;
    session.succeed(&format!(
        "chmod +x recorder; ./recorder {ADDRESS} </dev/null >recorder.log 2>&1 & \
         echo $! >recorder.pid"
    ))?;
    until(session, "grep -q listening recorder.log", "the recorder does not start")?;
    // In place of who announces the guest's address to the network.
    session.succeed(&format!(
        "arp -s {ADDRESS} {LAB_MAC}; xenstore-write {BAD_RECORD} 7; \
         xenstore-write {STUBBORN_RECORD}/syn/sequence 7; xenstore-chmod -r {STUBBORN_RECORD} r0"
    ))?;
    clients(session, CLIENTS)?;
    let recorded = format!("[ $(grep -c recorded recorder.log) = {CLIENTS} ]");
    until(session, &recorded, "the connections are not recorded")
}

/// Starts clients that ask for the page.
fn clients(session: &mut Session, count: usize) -> Result<()> {
    session.succeed(&format!(
        "rm -f page* client.pid; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >client.request; \
         for i in $(seq {count}); do \
             {{ nc -w 60 {ADDRESS} 80 <client.request >page.$i; echo $? >page.$i.status; }} & \
             echo $! >>client.pid; sleep {STEP}; \
         done"
    ))?;
    Ok(())
}

fn until(session: &mut Session, condition: &str, complaint: &str) -> Result<()> {
    let start = Instant::now();
    while session.run(condition)?.status != 0 {
        ensure!(start.elapsed() < PATIENCE, "{complaint} in {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn run(session: &mut Session, app: &App, image: &Image, console: &mut Vec<u8>) -> Result<()> {
    let arguments = [format!("ip={ADDRESS}/24")];
    let config = Config {
        name: format!("{EXAMPLE}-{}", image.arch),
        network: true,
        ..Config::for_lab(app, image, Some(MEMORY), &arguments)?
    };
    session.send_file(&quote(&config.kernel), &image.path)?;
    let mut domain = Domain::create(session, &config, false)?;
    let result = served(session, &mut domain, console, CLIENTS).and_then(|()| {
        check(session, &config.name, &String::from_utf8_lossy(console))?;
        // One that comes later is nobody's business.
        clients(session, 1)?;
        served(session, &mut domain, console, 1)
    });
    domain.destroy(session)?;
    result
}

/// Waits until so many clients have their page.
fn served(
    session: &mut Session,
    domain: &mut Domain,
    console: &mut Vec<u8>,
    count: usize,
) -> Result<()> {
    let start = Instant::now();
    while session.run(&format!("[ $(ls page.*.status | wc -l) = {count} ]"))?.status != 0 {
        let mut keep = |part: &[u8]| console.extend_from_slice(part);
        if let Some(ending) = domain.follow(session, &mut keep)? {
            bail!("it ended with {ending:?}");
        }
        ensure!(start.elapsed() < PATIENCE, "no page in {} s", PATIENCE.as_secs());
    }
    domain.follow(session, &mut |part| console.extend_from_slice(part))?;
    for client in 1..=count {
        let page = session.succeed(&format!("cat page.{client}"))?;
        ensure!(page.ends_with(PAGE), "client {client} got `{page}`");
    }
    Ok(())
}

/// Checks that the connection was taken over, and what the guest has left in XenStore.
fn check(session: &mut Session, name: &str, console: &str) -> Result<()> {
    let said = session.succeed("cat recorder.log")?;
    let answered = said.matches("with the number recorded").count();
    ensure!(answered + 1 >= CLIENTS, "{answered} of {CLIENTS} connections were taken over");
    ensure!(!said.contains("asked again"), "a client that was answered had to ask again");
    let state = session.succeed(&format!("xenstore-read {NODE}; xenstore-list {NODE}"))?;
    ensure!(state == "managed\n80\n", "the tree has `{state}`");
    let left = session.succeed(&format!("xenstore-ls {NODE}"))?;
    ensure!(left.matches("syn").count() == 1, "one record cannot be removed, of these:\n{left}");
    let ready = format!("xenstore-read /local/domain/$(xl domid {name})/data/ready");
    ensure!(session.succeed(&ready)? == "1\n", "it does not say that it is ready");
    let refused = "10.99.0.200:5 to 10.99.0.77:80 is not taken over: its `options`";
    let stubborn = "10.99.0.201:6 to 10.99.0.77:80 is not taken over: XenStore does not permit it";
    for expected in [&format!("{answered} clients were there before"), refused, stubborn] {
        ensure!(console.contains(expected), "the console does not show `{expected}`");
    }
    Ok(())
}
