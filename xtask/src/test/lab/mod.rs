//! Xen: the lab itself, and guests of its Xen.
//!
//! The tests on one machine are a group that boots it once ([`machine`]): first whether dom0 is as the
//! others need it, then [`guests`] one by one, with [`disks`], over the [`network`], with many bytes
//! ([`bulk`]), under the hand of xl ([`control`]), which also saves and restores them ([`save`]), without
//! what they need ([`early`]), with a UART ([`vuart`]), when they are needed ([`summon`]), with back ends
//! that are [`hostile`], several of them [`together`] and beside a [`linux`], and at last whether Xen and
//! dom0 have complained about any of it ([`logs`]). Guests that Xen starts without dom0 have a machine
//! each ([`dom0less`]), and so have the [`commands`] that people type. What tests boot is built before,
//! as far as they need it ([`images`]).

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::case::{Case, Failure};
use super::guest::failure;
use crate::arch::Arch;
use crate::build::{How, Image};
use crate::lab::{Hardware, Session, Store, Xen};

mod bulk;
mod commands;
mod control;
mod disks;
mod dom0less;
mod early;
mod guests;
mod hostile;
mod images;
mod linux;
pub(in crate::test) mod logs;
mod machine;
mod network;
mod peer;
mod queues;
mod save;
mod summon;
mod together;
mod vuart;

pub use images::compile;
use machine::Machine;
pub use summon::PAGE as JUST_IN_TIME;

/// The tests with guests of these architectures, in groups.
///
/// # Errors
/// If the sources of the test guests cannot be read.
pub fn groups(arches: &[Arch], how: &How) -> Result<Vec<Vec<Case>>> {
    let mut groups = Vec::new();
    for xen in [Xen::X86_64, Xen::Aarch64] {
        let arches: Vec<Arch> =
            arches.iter().copied().filter(|&arch| Xen::of(arch) == xen).collect();
        if arches.is_empty() {
            continue;
        }
        let machine = Machine::new(xen, Hardware::default_of(xen))?;
        let mut cases = vec![machine.case(format!("lab/dom0/{}", xen.arch()), dom0)];
        for &arch in &arches {
            cases.extend(guests::examples(&machine, arch, how));
            cases.extend(network::cases(&machine, arch, how));
            cases.push(control::case(&machine, arch, how));
            cases.extend(bulk::cases(&machine, arch, how));
            cases.push(summon::case(&machine, arch, how));
            cases.push(together::case(&machine, arch, how));
            // Images that ship differ most from those for development on ARMv7, as they have other
            // instructions (Thumb). That is tried there; on the others, what the test guests show does
            // not depend on how they were compiled so much that it would be worth minutes.
            if !how.release || arch == Arch::Armv7 {
                cases.extend(guests::cases(&machine, arch, how)?);
                cases.extend(disks::cases(&machine, arch, how)?);
            }
            if !how.release {
                cases.extend(hostile::cases(&machine, arch, how)?);
                cases.extend(save::case(&machine, arch, how)?);
                cases.extend(early::case(&machine, arch, how));
                cases.extend(vuart::case(&machine, arch, how));
                cases.push(control::without_devices(&machine, arch, how));
                cases.push(commands::xl_cfg(&machine, arch));
                if arch == Arch::X86_64 {
                    cases.push(guests::channel(&machine, how)?);
                }
            }
        }
        if !how.release {
            cases.push(linux::case(&machine, &arches, how));
        }
        cases.push(logs::case(&machine, ""));
        groups.push(cases);
        if !how.release {
            groups.push(commands::own_machines(&arches));
            groups.push(with_oxenstored(xen, &arches, how)?);
        }
        if xen == Xen::Aarch64 {
            groups.push(with_gicv2(&arches, how)?);
            groups.push(arches.iter().flat_map(|&arch| dom0less::cases(arch, how)).collect());
        }
    }
    Ok(groups)
}

/// What the names of tests end with on a machine with the older interrupt controller.
const WITH_GICV2: &str = "-gic2";

/// What is run on a machine with the older interrupt controller: as much as shows that guests get
/// along with it, whatever sends them events: the timer, a network card, XenStore, a disk.
fn with_gicv2(arches: &[Arch], how: &How) -> Result<Vec<Case>> {
    let machine = Machine::new(Xen::Aarch64, Hardware::with_gic(Xen::Aarch64, 2))?;
    let mut cases = Vec::new();
    for &arch in arches {
        let timer = format!("timer{WITH_GICV2}");
        cases.push(guests::example(&machine, &timer, "timer", arch, how));
        cases.push(network::with_gicv2(&machine, arch, how));
        if !how.release {
            cases.extend(guests::with_gicv2(&machine, arch, how)?);
            cases.push(disks::with_gicv2(&machine, arch, how)?);
        }
    }
    cases.push(logs::case(&machine, WITH_GICV2));
    Ok(cases)
}

/// What is run on a machine whose XenStore is kept by the daemon in OCaml.
fn with_oxenstored(xen: Xen, arches: &[Arch], how: &How) -> Result<Vec<Case>> {
    let machine = Machine::new(xen, Hardware::default_of(xen).with_store(Store::Oxenstored))?;
    let mut cases = Vec::new();
    for &arch in arches {
        cases.extend(guests::with_oxenstored(&machine, arch, how)?);
        cases.push(hostile::with_oxenstored(&machine, arch, how)?);
    }
    cases.push(logs::case(&machine, guests::WITH_OXENSTORED));
    Ok(cases)
}

/// SHA-256 of the numbers from 0 to 99,999, each in four bytes, the least significant first.
const SUM: &str = "20ff50e632cc575386b15d7fcd9c3842ef435388ed29ae8c30617158ee907dc5";

/// Xen's tools answer, files arrive as they are, and a bridge waits for guests.
fn dom0(session: &mut Session) -> Result<(), Failure> {
    Ok(check_dom0(session)?)
}

fn check_dom0(session: &mut Session) -> Result<()> {
    let domains = session.succeed("xl list")?;
    ensure!(domains.contains("Domain-0"), "xl lists no dom0:\n{domains}");
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    session.send("file", &content)?;
    let sum = session.succeed("sha256sum <file")?;
    ensure!(sum.starts_with(SUM), "the file that was sent has the sum {sum}");
    session.succeed("ip link show xenbr0 && xenstore-read /local/domain/0/domid")?;
    ensure!(session.run("exit 7")?.status == 7, "the status of a command is lost");
    // Otherwise its programs lose their registers to guests, now and then.
    let eager = "test $(uname -m) != x86_64 || xl dmesg | grep 'PV VMs:.* EAGER_FPU'";
    session.succeed(eager).context("Xen does not keep dom0's registers")?;
    Ok(())
}

/// Has `run` test a guest of this image and collect what that prints, which a failure shows.
fn with_console(
    image: &Image,
    run: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<(), Failure> {
    let mut console = Vec::new();
    run(&mut console).map_err(|error| {
        let console = String::from_utf8_lossy(&console).replace('\r', "");
        failure(&error, &console, Some(image))
    })
}

/// What every test of a machine holds on to.
type Shared = Arc<Machine>;
