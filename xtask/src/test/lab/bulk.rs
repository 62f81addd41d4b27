//! Many bytes between dom0 and a guest, both ways at once, and all of them checked.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::{Shared, queues, with_console};
use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How, Image};
use crate::lab::{Domain, Session, Xen};
use crate::linux;
use crate::paths;
use crate::test::case::Case;
use crate::tools::quote;
use crate::xl_cfg::Config;

/// Memory, in MiB.
const MEMORY: u64 = 16;

/// Addresses of the guest. That of IPv6 is asked for by frames to a group, which netback is told of.
const IPV4: &str = "10.99.0.2";
const IPV6: &str = "fd99::2";

/// What is moved, and how the card is connected.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    /// MiB that each connection moves by an address, each way.
    amounts: [(&'static str, u64); 2],
    /// Connections at the same time, of each way.
    connections: u32,
    /// Queues that both sides are to have.
    queues: u32,
    /// How often netback goes and comes back meanwhile.
    restarts: u32,
}

const VARIANTS: [Variant; 3] = [
    Variant { name: "bulk", amounts: [(IPV4, 64), (IPV6, 8)], ..ONE },
    Variant {
        name: "bulk-queues",
        amounts: [(IPV4, 1), (IPV6, 1)],
        connections: 8,
        queues: 3,
        ..ONE
    },
    Variant { name: "bulk-restart", amounts: [(IPV4, 96), (IPV6, 96)], restarts: 2, ..ONE },
];

/// One of all, and nothing that is moved.
const ONE: Variant =
    Variant { name: "", amounts: [(IPV4, 0), (IPV6, 0)], connections: 1, queues: 1, restarts: 0 };

/// Events that a queue in use brings dom0 at least, from where the guest sends and from where it
/// receives: netback asks for the latter when it runs out of pages.
const EVENTS: [(&str, u64); 2] = [("tx", 20), ("rx", 3)];

/// What dom0 runs while netback goes and comes back.
const RESTART: &[u8] = include_bytes!("dom0/bulk_restart.sh");

/// Where netback reads how many queues it offers.
const MAX_QUEUES: &str = "/sys/module/xen_netback/parameters/max_queues";

/// What dom0 has to do before. It must not know the address of an earlier guest any more: the bridge
/// would send what is for that to everybody, and QEMU's network takes every packet for its own.
const PREPARE: &str = "chmod +x bulk-client; ip -6 address add fd99::1/64 dev xenbr0 2>/dev/null; \
                       ip neigh flush dev xenbr0";

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The guest checks what dom0 sends to it, and dom0 what the guest sends; with one queue, and with
/// several.
pub fn cases(machine: &Shared, arch: Arch, how: &How) -> Vec<Case> {
    VARIANTS.iter().map(|variant| case(machine, arch, how, variant)).collect()
}

fn case(machine: &Shared, arch: Arch, how: &How, variant: &'static Variant) -> Case {
    let how = how.clone();
    machine.case(format!("lab/xen/{}/{arch}", variant.name), move |session| {
        let app = app()?;
        let image = build::image_of(&app, arch, &how, &app.binary);
        with_console(&image, |console| run(session, &app, &image, variant, console))
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
    linux::program("bulk-client", "bulk-client", Xen::of(arch).arch())
}

fn run(
    session: &mut Session,
    app: &App,
    image: &Image,
    variant: &Variant,
    console: &mut Vec<u8>,
) -> Result<()> {
    let Variant { name, queues, .. } = variant;
    let arguments =
        [format!("ip={IPV4}/24"), format!("ip6={IPV6}/64"), format!("xen.queues={queues}")];
    let config = Config {
        name: format!("{name}-{}", image.arch),
        network: true,
        ..Config::for_lab(app, image, Some(MEMORY), &arguments)?
    };
    session.send_file(&quote(&config.kernel), &image.path)?;
    session.send_file("bulk-client", &client(image.arch)?)?;
    session.send("bulk_restart.sh", RESTART)?;
    session.succeed(PREPARE)?;
    session.succeed(&format!("echo {queues} >{MAX_QUEUES}"))?;
    let mut domain = Domain::create(session, &config, false)?;
    let moved = move_bytes(session, &config.name, variant);
    let connected = check_card(session, &config.name, variant);
    let spread = if *queues > 1 { check_queues(session, &config.name, *queues) } else { Ok(()) };
    let mut keep = |part: &[u8]| console.extend_from_slice(part);
    domain.follow(session, &mut keep)?;
    domain.destroy(session)?;
    // A card has all that netback offers until its guest has said how many it wants: a frame that is
    // on its way to one more is dropped, and dom0's kernel complains.
    session.succeed(&format!("echo 1 >{MAX_QUEUES}"))?;
    moved.and(connected).and(spread)
}

/// What the front end has agreed to: long packets in several pieces, whose checksums are not made, and
/// groups that netback knows of.
const AGREED: [&str; 6] = [
    "feature-sg = \"1\"",
    "feature-gso-tcpv4 = \"1\"",
    "feature-gso-tcpv6 = \"1\"",
    "feature-ipv6-csum-offload = \"1\"",
    "feature-rx-notify = \"1\"",
    "request-multicast-control = \"1\"",
];

/// Bytes of a packet, on average and in either direction, that dom0 must count: without segmentation
/// by the other side, none has more than 1514, and acknowledgements are counted, too.
const LONG: u64 = 8000;

/// Whether both sides have as many queues as they should, and have agreed on all else.
fn check_card(session: &mut Session, name: &str, variant: &Variant) -> Result<()> {
    let list = format!("xenstore-ls /local/domain/$(xl domid {name})/device/vif/0");
    let nodes = session.succeed(&list)?;
    let queues = nodes.matches("tx-ring-ref =").count();
    ensure!(queues == variant.queues as usize, "there are {queues} queues:\n{nodes}");
    ensure!(nodes.contains("event-channel-tx"), "both rings have one event channel:\n{nodes}");
    for agreed in AGREED {
        ensure!(nodes.contains(agreed), "there is no {agreed}:\n{nodes}");
    }
    Ok(())
}

/// What dom0 has counted of the guest's card: bytes and packets from the guest, and to it. Nothing before
/// netback knows the card.
type Counts = [u64; 4];

fn counts(session: &mut Session, name: &str) -> Result<Counts> {
    let statistics = format!(
        "if cd /sys/class/net/vif$(xl domid {name} 2>/dev/null).0/statistics 2>/dev/null; then \
         cat rx_bytes rx_packets tx_bytes tx_packets; else echo 0 0 0 0; fi"
    );
    let text = session.succeed(&statistics)?;
    let counts: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
    let counts = counts.with_context(|| format!("these are no counts: {text}"))?;
    counts.try_into().map_err(|_| anyhow!("these are no four counts: {text}"))
}

/// Whether packets were long in both directions between two counts.
fn are_long(before: &Counts, after: &Counts) -> Result<()> {
    let counted = |index: usize| after[index] - before[index];
    for (what, first) in [("from the guest", 0), ("to the guest", 2)] {
        let (bytes, packets) = (counted(first), counted(first + 1));
        ensure!(bytes > LONG * packets, "{what}: {bytes} bytes in {packets} packets");
    }
    Ok(())
}

/// Whether connections were spread over the queues, both ways.
fn check_queues(session: &mut Session, name: &str, count: u32) -> Result<()> {
    EVENTS.into_iter().try_for_each(|(direction, least)| {
        let interrupts = format!("vif$(xl domid {name}).0-q[0-9]*-{direction}");
        queues::are_in_use(session, &interrupts, count as usize, least)
    })
}

fn move_bytes(session: &mut Session, name: &str, variant: &Variant) -> Result<()> {
    let start = Instant::now();
    let before = std::mem::replace(&mut session.patience, PATIENCE);
    // netback counts from when it was last started, which may be the slow start of a connection; and
    // connections that move little do not get much beyond that.
    let is_long = variant.restarts == 0 && variant.connections == 1;
    for (address, mebibytes) in variant.amounts {
        let counted = counts(session, name)?;
        let command = match variant.restarts {
            0 => format!("./bulk-client {address} {mebibytes} {} 2>&1", variant.connections),
            count => format!("sh bulk_restart.sh {name} {address} {mebibytes} {count}"),
        };
        let moved = session.run(&command)?;
        ensure!(moved.status == 0, "{address}: {}", moved.text());
        if is_long {
            are_long(&counted, &counts(session, name)?)
                .with_context(|| format!("by {address}, {mebibytes} MiB each way"))?;
        }
    }
    session.patience = before;
    ensure!(start.elapsed() < PATIENCE, "it takes {} s", start.elapsed().as_secs());
    Ok(())
}
