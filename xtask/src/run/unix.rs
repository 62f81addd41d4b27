//! An app as a Linux process.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::arguments::check;
use super::hardware::Hardware;
use super::network::Network;
use super::passt::Passt;
use super::ports::Reserved;
use super::process::{End, Plain, Running, interrupted};
use super::tap::{self, Tap};
use super::{INTERRUPTED, Options, announce_ports, probe, timed_out, urls};
use crate::app::App;
use crate::arch::Arch;
use crate::{build, tools, ui};

impl Options {
    /// Runs the app as a Linux process.
    pub(super) fn as_process(&self, app: &App) -> Result<u8> {
        refuse(&self.for_guests_only())?;
        let program = build::build_for_host(app, &self.what.how)?;
        if check(&program, &self.arguments)? {
            return Ok(0);
        }
        let (network, boot_arguments, _ports) = self.network_of_process(app)?;
        let urls = urls(app, &network, &boot_arguments)?;
        let passt = Passt::for_network(&network)?;
        let mut command = Command::new(&program);
        command.args(arguments(&self.hardware, &network, passt.as_ref())?);
        command.arg("--").args(boot_arguments);
        announce_ports(network.forwards());
        interrupted();
        ui::progress("Running", tools::describe(&command));
        let mut running = Running::start(command, Plain)?;
        probe::announce_urls(urls);
        let end = running.wait(self.timeout.map(Duration::from_secs))?;
        running.drain();
        match end {
            End::Exited(status) => {
                Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
            }
            End::Interrupted => Ok(INTERRUPTED),
            End::TimedOut => Ok(timed_out()),
        }
    }

    /// How the process is connected, its boot arguments, and what reserves its ports: on a TAP
    /// interface that is prepared, unless the command line says something else about the network.
    fn network_of_process(&self, app: &App) -> Result<(Network, Vec<String>, Reserved)> {
        let mut arguments = self.arguments.clone();
        let chosen = self.tap.is_some() || !self.ports.is_empty() || tap::is_addressed(&arguments);
        let Some(tap) = (!chosen).then(Tap::prepared).flatten() else {
            let (network, ports) = self.network(app)?;
            return Ok((network, arguments, ports));
        };
        let ours = tap.boot_arguments();
        let line = ours.join(" ");
        ui::progress("Using", format_args!("TAP interface {}, with {line}", tap.name));
        ui::progress("", "`-- ip=dhcp` uses passt instead, which reaches what this machine does");
        arguments.extend(ours);
        Ok((Network::Tap(tap.name), arguments, Reserved::default()))
    }

    /// The options that were given and mean nothing to a Linux process.
    fn for_guests_only(&self) -> Vec<&'static str> {
        let mut given = self.hardware.of_machines();
        // The architecture of this machine is what a process has anyway.
        let foreign = self.arch.name() != std::env::consts::ARCH;
        given.extend((foreign && self.arch != Arch::X86_64).then_some("--arch"));
        given.extend(self.gdb.then_some("--gdb"));
        given
    }
}

/// Fails if there are `options` that mean nothing to a process: better than to pass them over.
pub fn refuse(options: &[&str]) -> Result<()> {
    ensure!(
        options.is_empty(),
        "a Linux process has no {0}; leave {0} out, or leave out `--on unix`{1}",
        options.join(", "),
        if options.contains(&"--gdb") {
            "; `gdb --args` takes the line that `run` prints"
        } else {
            ""
        }
    );
    Ok(())
}

/// The arguments that give the process its devices; `--mayfly-help` of any app lists them.
pub fn arguments(
    hardware: &Hardware,
    network: &Network,
    passt: Option<&Passt>,
) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    if let Network::Tap(interface) = network {
        arguments.push(format!("--mayfly-net=tap:{interface}"));
    }
    if let Some(passt) = passt {
        arguments.push(format!("--mayfly-net=passt:{}", passt.socket().display()));
    }
    for disk in &hardware.disks {
        ensure!(
            disk.exists(),
            "there is no disk {}; `truncate -s 16M {0}` makes an empty one of 16 MiB",
            disk.display()
        );
        arguments.push(format!("--mayfly-disk={}", disk.display()));
    }
    arguments.push(format!("--mayfly-memory={}", mebibytes(&hardware.memory)?));
    Ok(arguments)
}

/// A size as QEMU takes it, in MiB: that is its unit if none is given.
fn mebibytes(size: &str) -> Result<u32> {
    let (digits, factor) = match size.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 1024),
        None => (size.trim_end_matches(['M', 'm']), 1),
    };
    let number: u32 = digits
        .parse()
        .with_context(|| format!("`--memory {size}` is no size: a number and M or G"))?;
    number.checked_mul(factor).context("that is more memory than there can be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_mebibytes() {
        assert_eq!(mebibytes("64M").unwrap(), 64);
        assert_eq!(mebibytes("64").unwrap(), 64);
        assert_eq!(mebibytes("2G").unwrap(), 2048);
        assert!(mebibytes("64K").is_err() && mebibytes("9999999G").is_err());
    }

    #[test]
    fn options_without_a_meaning_are_refused() {
        let hardware = Hardware { smp: 2, cpu: Some("max".into()), ..Hardware::default() };
        assert_eq!(hardware.of_machines(), ["--cpu", "--smp"]);
        let error = refuse(&hardware.of_machines()).unwrap_err().to_string();
        assert!(error.starts_with("a Linux process has no --cpu, --smp; leave"));
        assert!(refuse(&["--gdb"]).unwrap_err().to_string().contains("gdb --args"));
        refuse(&Hardware::default().of_machines()).unwrap();
    }

    #[test]
    fn a_process_gets_its_devices_by_arguments() {
        let network = Network::Tap("tap0".into());
        let arguments = arguments(&Hardware::default(), &network, None).unwrap();
        assert_eq!(arguments, ["--mayfly-net=tap:tap0", "--mayfly-memory=64"]);
    }
}
