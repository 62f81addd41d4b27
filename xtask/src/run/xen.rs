//! An app as a guest of the lab's Xen.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::hardware::Hardware;
use super::memory::{MEBIBYTE, bytes};
use super::network::Network;
use super::process::{Console, interrupted};
use super::{announce_ports, probe};
use crate::build::Image;
use crate::lab::{self, Domain, Lab, Reason, Session, Xen};
use crate::symbolize::Symbolized;
use crate::tools::quote;
use crate::xl_cfg::Config;
use crate::{setup, ui};

/// Boots the lab, and in it the guest, with the disks and the interrupt controller of `guest`; shows
/// what the guest prints. Gives its exit status, or nothing if it had to be ended, because its time
/// was up or [`interrupted`] tells so.
///
/// # Errors
/// If the lab cannot be made or does not boot, or xl cannot create the guest.
pub fn run(
    image: &Image,
    config: &Config,
    guest: &Hardware,
    network: &Network,
    timeout: Option<Duration>,
) -> Result<Option<u8>> {
    let xen = Xen::of(image.arch);
    setup::programs(&[xen.arch().qemu()])?;
    let hardware = match guest.gic {
        Some(gic) => lab::Hardware::with_gic(xen, gic),
        None => lab::Hardware::default_of(xen),
    };
    let disks = guest.disks_in_full()?;
    let hardware = hardware.on_network(network.clone()).with_disks(disks);
    let lab = Lab::prepare(xen)?;
    // Before QEMU starts, so that no Ctrl-C is missed.
    interrupted();
    ui::progress("Booting", format_args!("Xen and dom0 on {}", xen.arch()));
    match in_lab(&lab, &hardware, image, config, network, timeout) {
        // The guest, dom0 and Xen end with the session.
        Err(_) if interrupted() => Ok(None),
        other => other,
    }
}

fn in_lab(
    lab: &Lab,
    hardware: &lab::Hardware,
    image: &Image,
    config: &Config,
    network: &Network,
    timeout: Option<Duration>,
) -> Result<Option<u8>> {
    let mut session = Session::start(lab, hardware)?;
    let content = std::fs::read(&image.path)
        .with_context(|| format!("cannot read {}", image.path.display()))?;
    ui::progress("Running", format_args!("`xl create {}.cfg` in dom0", config.name));
    session.send(&quote(&config.kernel), &content)?;
    let mut domain = Domain::create(&mut session, config, false)?;
    announce_ports(network.forwards());
    probe::announce_urls(network.urls());
    let mut console = Symbolized::new(image.elf.clone());
    let start = Instant::now();
    loop {
        let ending = domain.follow(&mut session, &mut |printed| console.bytes(printed))?;
        if let Some(ending) = ending {
            if let Reason::Suspend | Reason::Other(_) = ending.reason {
                ui::warning(format_args!("the guest gave Xen {:?} as the reason", ending.reason));
            }
            return Ok(Some(ending.status));
        }
        if timeout.is_some_and(|timeout| start.elapsed() >= timeout) {
            return Ok(None);
        }
    }
}

/// A size as `--memory` has it, in MiB, which is what xl counts in.
///
/// # Errors
/// If it is no size, or no whole number of MiB.
pub fn mebibytes(size: &str) -> Result<u64> {
    let bytes = bytes(size).with_context(|| {
        format!("`--memory {size}` is no size: a number of MiB, or a number and K, M or G")
    })?;
    ensure!(bytes % MEBIBYTE == 0, "xl counts memory in whole MiB, and {size} is none");
    Ok(bytes / MEBIBYTE)
}

/// Fails if there are `options` that mean nothing to a guest on `platform`: better than to pass them
/// over.
///
/// # Errors
/// If there are.
pub fn refuse(options: &[&str], platform: &str) -> Result<()> {
    ensure!(
        options.is_empty(),
        "a guest of the lab's Xen cannot have {0}; leave {0} out, or leave out `--on {platform}`{1}",
        options.join(", "),
        if options.contains(&"--gic") { "; --gic is for ARM" } else { "" }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_whole_mebibytes() {
        assert_eq!(mebibytes("64M").unwrap(), 64);
        assert_eq!(mebibytes("4").unwrap(), 4);
        assert_eq!(mebibytes("4096K").unwrap(), 4);
        assert!(mebibytes("100K").is_err() && mebibytes("much").is_err());
    }

    #[test]
    fn options_without_a_meaning_are_refused() {
        refuse(&[], "xen").unwrap();
        let error = refuse(&["--gdb", "--gic"], "xen").unwrap_err().to_string();
        assert!(error.contains("--gdb, --gic") && error.contains("for ARM"));
    }
}
