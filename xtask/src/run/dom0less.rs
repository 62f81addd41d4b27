//! An app as a guest that Xen starts by itself, without dom0.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::network::declared;
use super::process::{Console, interrupted};
use crate::app::App;
use crate::arch::Arch;
use crate::build::Image;
use crate::lab::{DirectEnding, Dom0less, Lab, Xen};
use crate::symbolize::Symbolized;
use crate::{setup, ui};

/// The version of ARM's interrupt controller when none is asked for.
const DEFAULT_GIC: u8 = 3;

/// Exit status of a guest that Xen has ended, as `Domain` has it for one that printed none.
const CRASHED: u8 = 1;

/// Fails if there is no such guest of an app.
///
/// # Errors
/// If the architecture is not ARM, or the app says that it has ports.
pub fn ensure_possible(app: &App, arch: Arch) -> Result<()> {
    ensure!(
        arch != Arch::X86_64,
        "Xen of x86 starts no guest without dom0; add `--arch aarch64` or `--arch armv7`"
    );
    ensure!(
        declared(&app.metadata)?.is_empty(),
        "{} has ports to be reached at, but without dom0 nobody gives a guest a network card or a \
         disk: it has a console and nothing else; use `--on xen`",
        app.binary
    );
    Ok(())
}

/// Boots Xen, which starts the guest; shows what the guest prints. Gives its exit status, or nothing
/// if it had to be ended, because its time was up or [`interrupted`] tells so.
///
/// # Errors
/// If Xen cannot be fetched, or does not boot.
pub fn run(
    image: &Image,
    memory: u64,
    arguments: &[String],
    gic: Option<u8>,
    timeout: Option<Duration>,
) -> Result<Option<u8>> {
    let xen = Xen::of(image.arch);
    setup::programs(&[xen.arch().qemu()])?;
    let lab = Lab::prepare(xen)?;
    // Before QEMU starts, so that no Ctrl-C is missed.
    interrupted();
    ui::progress("Booting", format_args!("Xen on {}, which starts the guest", xen.arch()));
    let guest = Dom0less { image: &image.path, memory, arguments, gic: gic.unwrap_or(DEFAULT_GIC) };
    let mut guest = guest.start(&lab)?;
    let mut console = Symbolized::new(image.elf.clone());
    let start = Instant::now();
    loop {
        match guest.follow(&mut |printed| console.bytes(printed)) {
            Err(_) if interrupted() => return Ok(None),
            Err(error) => return Err(error),
            Ok(Some(DirectEnding::Status(status))) => return Ok(Some(status)),
            Ok(Some(DirectEnding::Reboot)) => return Ok(Some(0)),
            Ok(Some(DirectEnding::Crashed)) => {
                ui::warning("Xen has ended the guest:");
                guest.xen().iter().for_each(|line| eprintln!("{line}"));
                return Ok(Some(CRASHED));
            }
            Ok(None) => {}
        }
        if interrupted() || timeout.is_some_and(|timeout| start.elapsed() >= timeout) {
            return Ok(None);
        }
    }
}
