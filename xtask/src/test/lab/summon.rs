//! A guest that takes over connections from before it was there: `curl` in dom0 asks for some, a
//! recorder ([`tests/recorder`]) writes that down, and only then the guest is created. dom0 has the
//! address of another card for it, until the guest says which is its own.
//!
//! A client asks again after one second, after three, seven, fifteen and thirty-one. The guest is
//! created after fifteen, so that all of its start is between two of these, on a slow machine, too.
//!
//! [`tests/recorder`]: ../../../../tests/recorder/src/main.rs

mod records;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{Shared, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{How, Image};
use crate::lab::{CLIENTS as PROGRAMS, Domain, Session, Xen};
use crate::linux;
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// The example.
pub const EXAMPLE: &str = "jitsu-guest";

/// The guest's address, on the network of dom0's bridge.
const ADDRESS: &str = "10.99.0.77";
/// Its name in XenStore.
const NODE: &str = "/ip/10-99-0-77";
/// How the page ends.
pub const PAGE: &str = "<p>Just in time.\n";
/// The network card that dom0 takes for the guest's, of which there is none.
const NOBODY: &str = "00:16:3e:00:00:fe";

/// Clients that come before the guest is there.
const CLIENTS: usize = 3;
/// How many seconds one comes after the other.
const STEP: &str = "0.3";
/// How often each has asked again when the guest is created.
const REPEATS: usize = 4;

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
    machine.with_example(EXAMPLE, EXAMPLE, arch, how, move |session, app, image| {
        PROGRAMS.fetch(Xen::of(arch))?.send(session)?;
        with_console(image, |console| {
            let result = record(session, arch)
                .and_then(|()| run(session, app, image, console))
                .map_err(|error| {
                    let said = session.succeed("cat recorder.log").unwrap_or_default();
                    error.context(format!("the recorder says:\n{said}"))
                });
            // The next test begins without any of it.
            session.run(&format!(
                "kill $(cat recorder.pid) $(cat client.pid) 2>/dev/null; \
                 killall curl 2>/dev/null && sleep 1; \
                 arp -d {ADDRESS} 2>/dev/null; \
                 echo 5 >/proc/sys/net/ipv4/neigh/xenbr0/delay_first_probe_time; \
                 rm -f recorder* client* page*; xenstore-rm /ip"
            ))?;
            result.and(PROGRAMS.remove(session))
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
    // In place of who answers for the guest, in a way that the guest can correct, and that dom0 itself
    // does not look into.
    session.succeed(&format!(
        "echo 100 >/proc/sys/net/ipv4/neigh/xenbr0/delay_first_probe_time && \
         arp -s {ADDRESS} {NOBODY} temp"
    ))?;
    records::write(session)?;
    clients(session, CLIENTS)?;
    let recorded = format!("[ $(grep -c recorded recorder.log) = {CLIENTS} ]");
    until(session, &recorded, "the connections are not recorded")?;
    let repeated = format!("[ $(grep -c repeated recorder.log) -ge {} ]", CLIENTS * REPEATS);
    until(session, &repeated, "the clients do not ask again")
}

/// Starts clients that ask for the page, one after the other.
fn clients(session: &mut Session, count: usize) -> Result<()> {
    let get = format!("LD_LIBRARY_PATH={0} {0}/curl --silent --max-time 60", PROGRAMS.place);
    session.succeed(&format!(
        "rm -f page* client.pid; \
         for i in $(seq {count}); do \
             {{ {get} -o page.$i http://{ADDRESS}/; echo $? >page.$i.status; }} & \
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
        refuses_again(session, &mut domain, console)?;
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
        let page = session.run(&format!("cat page.{client}.status page.{client}"))?.text();
        ensure!(page.starts_with("0\n") && page.ends_with(PAGE), "client {client} got `{page}`");
    }
    Ok(())
}

/// Checks that the connection was taken over, and what the guest has left in XenStore.
fn check(session: &mut Session, name: &str, console: &str) -> Result<()> {
    let said = session.succeed("cat recorder.log")?;
    let announced = said.find(&format!("announced {ADDRESS}"));
    ensure!(
        announced.is_some_and(|at| said.find("answered").is_none_or(|answer| at < answer)),
        "the guest answers before it has told the network where it is"
    );
    let answered = said.matches("with the number recorded").count();
    ensure!(answered == CLIENTS, "{answered} of {CLIENTS} connections were taken over");
    ensure!(!said.contains("asked again"), "a client had to ask again while the guest was there");
    let state = session.succeed(&format!("xenstore-read {NODE}; xenstore-list {NODE}"))?;
    ensure!(state == "managed\n80\n", "the tree has `{state}`");
    let left = session.succeed(&format!("xenstore-ls {NODE}"))?;
    ensure!(left.matches("syn").count() == 1, "one record cannot be removed, of these:\n{left}");
    let ready = format!("xenstore-read /local/domain/$(xl domid {name})/data/ready");
    ensure!(session.succeed(&ready)? == "1\n", "it does not say that it is ready");
    let taken_over = format!("{answered} clients were there before");
    for expected in records::refused().iter().chain([&taken_over]) {
        ensure!(console.contains(expected), "the console does not show `{expected}`");
    }
    Ok(())
}

/// A client whose connection was taken over has a record again, which the guest removes, and refuses.
fn refuses_again(session: &mut Session, domain: &mut Domain, console: &mut Vec<u8>) -> Result<()> {
    let said = session.succeed("cat recorder.log")?;
    let expected = records::duplicate(&records::write_again(session, &said)?);
    let start = Instant::now();
    while !String::from_utf8_lossy(console).contains(&expected) {
        let mut keep = |part: &[u8]| console.extend_from_slice(part);
        if let Some(ending) = domain.follow(session, &mut keep)? {
            bail!("it ended with {ending:?}");
        }
        ensure!(start.elapsed() < PATIENCE, "the console does not show `{expected}`");
    }
    let left = session.succeed(&format!("xenstore-ls {NODE}"))?;
    ensure!(left.matches("syn").count() == 1, "a record that is refused stays:\n{left}");
    Ok(())
}
