//! Disks of a guest that does what dom0 tells it to: what one side writes is what the other side
//! reads, disks come and go, and their back end does.

mod agent;
mod barrier;

use std::time::Duration;

use anyhow::{Result, ensure};

use agent::Agent;

use super::{Shared, WITH_GICV2, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session};
use crate::test::case::Case;
use crate::test::guests::package;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// The test guest.
const GUEST: &str = "disk_agent";

/// Memory, in MiB.
const MEMORY: u64 = 48;

/// The size of the disks, in MiB.
const SIZE: u64 = 4;

/// The first disk, xvda, and the second, xvdb, by the numbers of XenStore (docs/misc/vbd-interface.txt).
const FIRST: u32 = 202 << 8;
const SECOND: u32 = FIRST + 16;

/// How often the guest is to connect again, and in how many tries: a guest that is slow to look does
/// not see each time that its back end was away.
const RECONNECTS: usize = 4;
const MOST_REBINDS: usize = 30;

type Test = fn(&mut Agent<'_>) -> Result<()>;

const TESTS: [(&str, Test); 8] = [
    BOTH_WAYS,
    ("disk-attached", attached),
    ("disk-barrier", barrier::only),
    ("disk-discard", discard),
    ("disk-sectors", sectors),
    ("disk-rebound", |agent| rebound(agent, RECONNECTS)),
    ("disks-rebound", rebound_together),
    (QUEUES, queues),
];

/// The test that is run with the older interrupt controller, too.
const BOTH_WAYS: (&str, Test) = ("disk-both-ways", both_ways);

/// The test whose disk has several queues, how many, and where blkback reads how many it offers.
const QUEUES: &str = "disk-queues";
const MANY: u32 = 3;
const MAX_QUEUES: &str = "/sys/module/xen_blkback/parameters/max_queues";
/// How dom0 calls the interrupt of any queue of any disk, how often all of the disk is written, and
/// events that a queue in use brings at least.
const INTERRUPT: &str = "blkif-backend";
const FILLS: u32 = 5;
const EVENTS: u64 = 5;

/// The tests of an architecture.
///
/// # Errors
/// If the test guests cannot be found.
pub fn cases(machine: &Shared, arch: Arch, how: &How) -> Result<Vec<Case>> {
    TESTS.into_iter().map(|test| case(machine, "", test, arch, how)).collect()
}

/// The test on a machine with the older interrupt controller.
///
/// # Errors
/// If the test guests cannot be found.
pub fn with_gicv2(machine: &Shared, arch: Arch, how: &How) -> Result<Case> {
    case(machine, WITH_GICV2, BOTH_WAYS, arch, how)
}

/// A test whose name ends with `suffix`.
fn case(
    machine: &Shared,
    suffix: &str,
    (name, test): (&'static str, Test),
    arch: Arch,
    how: &How,
) -> Result<Case> {
    let (app, how) = (App { binary: GUEST.into(), ..package()?.app }, how.clone());
    Ok(machine.case(called(name, suffix, arch), move |session| {
        let image = build::image_of(&app, arch, &how, &app.binary);
        let queues = if name == QUEUES { MANY } else { 1 };
        with_console(&image, |console| run(session, &app, &image, queues, test, console))
    }))
}

fn called(name: &str, suffix: &str, arch: Arch) -> String {
    format!("lab/xen/{name}{suffix}/{arch}")
}

/// Whether these tests are among those called `names`.
pub fn are_among(names: &[String], arch: Arch) -> bool {
    let older = called(BOTH_WAYS.0, WITH_GICV2, arch);
    let usual = TESTS.iter().map(|(name, _)| called(name, "", arch));
    usual.chain([older]).any(|name| names.contains(&name))
}

/// Builds the guest.
///
/// # Errors
/// If it cannot be built.
pub fn compile(arch: Arch, how: &How) -> Result<()> {
    build::build_all(&package()?.app, arch, how, &[GUEST.into()])?;
    Ok(())
}

fn run(
    session: &mut Session,
    app: &App,
    image: &Image,
    queues: u32,
    test: Test,
    console: &mut Vec<u8>,
) -> Result<()> {
    let arguments = [format!("xen.queues={queues}")];
    let mut config = Config::for_lab(app, image, Some(MEMORY), &arguments)?;
    session.succeed(&format!("echo {queues} >{MAX_QUEUES}"))?;
    config.name = format!("disks-{}", image.arch);
    let file = format!("/guests/{}.img", config.name);
    session.succeed(&format!("head -c {} /dev/urandom >{file}", SIZE << 20))?;
    config.disks = vec![file.clone()];
    session.send_file(&quote(&config.kernel), &image.path)?;
    let mut domain = Domain::create(session, &config, false)?;
    let result = domain.wait_until_there(session, Duration::from_secs(60)).and_then(|()| {
        let id = session.succeed(&format!("xl domid {}", config.name))?.trim().to_owned();
        let (session, name, devices) = (&mut *session, config.name.clone(), vec![FIRST]);
        test(&mut Agent { session, name, id, file, devices, count: 0 })
    });
    // All that it has printed.
    let mut keep = |part: &[u8]| console.extend_from_slice(part);
    domain.follow(session, &mut keep).ok();
    domain.destroy(session)?;
    session.succeed(&format!("rm -f /guests/{}*.img", config.name))?;
    result
}

/// What dom0 has written is what the guest reads, and the other way round.
fn both_ways(agent: &mut Agent<'_>) -> Result<()> {
    let file = agent.file.clone();
    let info = agent.ask("info 0")?;
    ensure!(info == format!("{} 512 discard", SIZE << 20), "the guest says of its disk: {info}");
    agent.same(0, &file)?;
    agent.filled(0, 1, &file)?;
    agent.same(0, &file)?;
    // What is written behind the guest's back.
    agent.session.succeed(&format!(
        "dd if=/dev/urandom of={file} bs=64k seek=3 count=20 conv=notrunc 2>/dev/null"
    ))?;
    agent.same(0, &file)?;
    agreed(agent)
}

/// What the front end has agreed to: pages that stay granted, and a ring of several pages.
const AGREED: [&str; 2] = ["feature-persistent = \"1\"", "ring-ref1 = "];

/// Sectors that a request has without descriptors of its own (`BLKIF_MAX_SEGMENTS_PER_REQUEST` in
/// xen/include/public/io/blkif.h).
const DIRECT: u64 = 11 * 8;

/// Whether both sides have agreed on what blkback can do, and blkback has seen that.
fn agreed(agent: &mut Agent<'_>) -> Result<()> {
    let list = format!("xenstore-ls /local/domain/{}/device/vbd/{FIRST}", agent.id);
    let nodes = agent.session.succeed(&list)?;
    for agreed in AGREED {
        ensure!(nodes.contains(agreed), "there is no {agreed}:\n{nodes}");
    }
    for way in ["rd", "wr"] {
        let (sectors, requests) = (
            agent.counted(FIRST, &format!("{way}_sect"))?,
            agent.counted(FIRST, &format!("{way}_req"))?,
        );
        ensure!(
            sectors > 2 * DIRECT * requests,
            "{way}: {sectors} sectors in {requests} requests, so that descriptors are of no use"
        );
    }
    ensure!(agent.flushes(FIRST)? > 0, "no flush has come to blkback");
    Ok(())
}

/// Disks that come and go, also while they are used; one is a CD, which is for reading only and
/// can be taken out.
fn attached(agent: &mut Agent<'_>) -> Result<()> {
    let name = agent.name.clone();
    let other = format!("/guests/{name}-other.img");
    agent.session.succeed(&format!("head -c 1572864 /dev/urandom >{other}"))?;
    let attach = |access: &str| {
        format!("xl block-attach {name} format=raw,vdev=xvdb,access={access},target={other}")
    };
    let detach = format!("xl block-detach {name} xvdb");
    // Before the guest waits for it, and while it does.
    agent.session.succeed(&attach("rw"))?;
    let size = agent.ask("attached")?;
    ensure!(size == 1_572_864.to_string(), "the attached disk has {size} bytes");
    agent.same(1, &other)?;
    agent.filled(1, 2, &other)?;
    agent.tell("gone 1")?;
    agent.session.succeed(&detach)?;
    let error = agent.answer()?;
    ensure!(error.contains("gone"), "a disk that was detached says: {error}");
    // Under the name of the one before, while nobody waits.
    agent.session.succeed(&attach("ro,devtype=cdrom"))?;
    agent.ask("attached")?;
    let info = agent.ask("info 2")?;
    ensure!(info == "1572864 512 read-only removable", "a disk for reading only says: {info}");
    let error = agent.ask("refused 2")?;
    ensure!(error.contains("read-only"), "it is written to: {error}");
    agent.same(2, &other)?;
    agent.session.succeed(&detach)?;
    // Detached while it is written to.
    agent.tell("attached")?;
    agent.session.succeed(&attach("rw"))?;
    agent.answer()?;
    agent.ask("load 3 1")?;
    agent.session.succeed(&format!("sleep 1; {detach}"))?;
    let error = agent.ask("stop")?;
    ensure!(error.contains("gone"), "a disk that was detached under load says: {error}");
    let file = agent.file.clone();
    agent.same(0, &file)?;
    agent.filled(0, 4, &file)
}

/// What the guest discards takes no room in dom0 any more, and reads as zeroes; all else is as it was.
fn discard(agent: &mut Agent<'_>) -> Result<()> {
    // In pages, as the file system of dom0 has them.
    const START: u64 = 65;
    const COUNT: u64 = 600;
    let file = agent.file.clone();
    agent.filled(0, 1, &file)?;
    let room = |agent: &mut Agent<'_>| -> Result<u64> {
        let text = agent.session.succeed(&format!("stat -c %b {}", agent.file))?;
        Ok(text.trim().parse()?)
    };
    let before = room(agent)?;
    let answer = agent.ask(&format!("discard 0 {} {}", START * 4096, COUNT * 4096))?;
    ensure!(answer == "discarded", "the guest cannot discard: {answer}");
    let freed = before.saturating_sub(room(agent)?);
    ensure!(freed == COUNT * 8, "{freed} units of 512 bytes are free instead of {}", COUNT * 8);
    // The same by other means.
    let expected = format!("{file}.expected");
    let hash = agent.ask("pattern 0 1")?;
    let copy = format!(
        "cp {file} {expected} && dd if=/dev/zero of={expected} bs=4096 seek={START} count={COUNT} \
         conv=notrunc 2>/dev/null && cmp {file} {expected}; equal=$?; rm {expected}; [ $equal = 0 ]"
    );
    agent.session.succeed(&copy)?;
    agent.same(0, &file)?;
    ensure!(agent.sum(&file)? != hash, "nothing was discarded");
    agent.filled(0, 2, &file)
}

/// A disk with sectors of 4096 bytes.
fn sectors(agent: &mut Agent<'_>) -> Result<()> {
    let name = agent.name.clone();
    let other = format!("/guests/{name}-sectors.img");
    agent.session.succeed(&format!("head -c 1572864 /dev/urandom >{other}"))?;
    let device = agent
        .session
        .succeed(&format!("/usr/sbin/losetup --sector-size 4096 -f --show {other}"))?;
    let device = device.trim();
    let checked = sectors_of(agent, device, &other);
    agent.session.succeed(&format!("xl block-detach {name} xvdb; losetup -d {device}"))?;
    checked
}

fn sectors_of(agent: &mut Agent<'_>, device: &str, file: &str) -> Result<()> {
    let name = agent.name.clone();
    agent.session.succeed(&format!("xl block-attach {name} phy:{device},xvdb,w"))?;
    agent.ask("attached")?;
    let info = agent.ask("info 1")?;
    ensure!(info == "1572864 4096 discard", "the guest says of its disk: {info}");
    // What dom0 has read of the device itself, it would not read again.
    agent.same(1, file)?;
    agent.filled(1, 3, file)?;
    let error = agent.ask("discard 1 512 4096")?;
    ensure!(error.contains("multiples of 4096"), "half a sector was discarded: {error}");
    let answer = agent.ask("discard 1 8192 65536")?;
    ensure!(answer == "discarded", "the guest cannot discard: {answer}");
    agent.same(1, file)
}

/// The back end goes and comes back while the guest reads and writes, until the guest has connected
/// again `heard` times: nothing is lost.
///
/// Linux' back end says nothing when it goes, and takes up the rings that it finds when it is back:
/// a guest that is slow to look never knows, and one that is paused cannot.
fn rebound(agent: &mut Agent<'_>, heard: usize) -> Result<()> {
    let file = agent.file.clone();
    agent.ask("load 0 100")?;
    agent.rebind("", true)?;
    for round in 0.. {
        let count = agent.reconnects()?;
        if count >= heard {
            break;
        }
        ensure!(round < MOST_REBINDS, "the guest has connected again {count} times in {round}");
        agent.rebind(if round % 2 == 0 { "" } else { "sleep 0.3;" }, false)?;
    }
    agent.rebind("", true)?;
    let seed = agent.ask("stop")?;
    ensure!(seed.parse().is_ok_and(|seed: u32| seed >= 100), "the load has ended with: {seed}");
    let (sum, hash) = (agent.sum(&file)?, agent.ask(&format!("pattern 0 {seed}"))?);
    ensure!(sum == hash, "dom0 has {sum}, but the guest has written {hash}");
    agent.same(0, &file)
}

/// Two disks, the back ends of which go and come back together: neither waits for the other.
fn rebound_together(agent: &mut Agent<'_>) -> Result<()> {
    let (name, file) = (agent.name.clone(), agent.file.clone());
    let other = format!("/guests/{name}-other.img");
    agent.session.succeed(&format!(
        "head -c 4194304 /dev/urandom >{other} && \
         xl block-attach {name} format=raw,vdev=xvdb,access=rw,target={other}"
    ))?;
    agent.ask("attached")?;
    agent.devices.push(SECOND);
    agent.ask("load 0 100")?;
    agent.ask("load 1 10000")?;
    for round in 0.. {
        let count = agent.reconnects()?;
        if count >= RECONNECTS {
            break;
        }
        ensure!(round < MOST_REBINDS, "the guest has connected again {count} times in {round}");
        agent.rebind(if round % 2 == 0 { "" } else { "sleep 0.3;" }, round % 5 == 4)?;
    }
    let seeds = agent.ask("stop")?;
    for ((disk, file), seed) in [file, other].iter().enumerate().zip(seeds.split(' ')) {
        let (sum, hash) = (agent.sum(file)?, agent.ask(&format!("pattern {disk} {seed}"))?);
        ensure!(
            sum == hash,
            "dom0 has {sum} on disk {disk}, the guest has written {hash}: {seeds}"
        );
        agent.same(disk, file)?;
    }
    ensure!(seeds.split(' ').count() == 2, "the loads have ended with: {seeds}");
    Ok(())
}

/// A disk with several queues, before and after its back end was away.
fn queues(agent: &mut Agent<'_>) -> Result<()> {
    let check = |agent: &mut Agent<'_>| {
        let list = format!("xenstore-ls /local/domain/{}/device/vbd/51712", agent.id);
        let nodes = agent.session.succeed(&list)?;
        let count = nodes.matches("event-channel =").count();
        ensure!(count == MANY as usize, "there are {count} queues of {MANY}:\n{nodes}");
        Ok(())
    };
    check(agent)?;
    both_ways(agent)?;
    let file = agent.file.clone();
    for seed in 0..FILLS {
        agent.filled(0, 2 + seed, &file)?;
    }
    super::queues::are_in_use(agent.session, INTERRUPT, MANY as usize, EVENTS)?;
    rebound(agent, 1)?;
    check(agent)
}
