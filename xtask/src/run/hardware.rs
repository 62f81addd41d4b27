//! The hardware that a guest gets, as options of the command line.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::machine::Machine;
use crate::arch::Arch;

/// The processors without AArch64 that QEMU's virt machine takes, even where it is to run AArch64
/// (`valid_cpus` in hw/arm/virt.c of QEMU 7.2).
const ONLY_32_BITS: [&str; 2] = ["cortex-a7", "cortex-a15"];

/// The hardware that a guest gets: the options that `run` shares with the tests.
#[derive(Args, Clone, Debug)]
pub struct Hardware {
    /// Machine type. [default: microvm on x86-64, virt on ARM]
    #[arg(long, value_enum)]
    pub machine: Option<Machine>,
    /// Interrupt controller of ARM's virt machine: GICv2 or GICv3. [default: 2; under Xen 3]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u8).range(2..=3))]
    pub gic: Option<u8>,
    /// Processor, as QEMU names it. [default: QEMU's own; cortex-a53 on AArch64]
    #[arg(long)]
    pub cpu: Option<String>,
    /// Number of processors; the guest uses one.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..)
    )]
    pub smp: u8,
    /// Memory, with a suffix: 4M, 1G.
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    pub memory: String,
    /// Gives the guest FILE as a disk; may be repeated.
    #[arg(long = "disk", value_name = "FILE")]
    pub disks: Vec<PathBuf>,
    /// What executes the guest: tcg, QEMU's translation, works everywhere; kvm is faster where the
    /// host is of the same architecture and lets you.
    #[arg(long, value_name = "NAME", default_value = "tcg")]
    pub accel: String,
    /// Whether there is an entropy device.
    #[arg(skip = true)]
    pub entropy: bool,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            machine: None,
            gic: None,
            cpu: None,
            smp: 1,
            memory: "64M".into(),
            disks: Vec::new(),
            accel: "tcg".into(),
            entropy: true,
        }
    }
}

impl Hardware {
    /// The machine type for an architecture.
    ///
    /// # Errors
    /// If the one asked for is of another architecture, or its processor, or it has no interrupt
    /// controller of the kind that is asked for.
    pub fn machine_for(&self, arch: Arch) -> Result<Machine> {
        let machine = self.machine.unwrap_or(Machine::default_for(arch));
        ensure!(
            machine.fits(arch),
            "{machine} is no machine for {arch}: x86_64 has microvm, q35 and pc, ARM has virt"
        );
        let cpu = self.cpu.as_deref().and_then(|cpu| cpu.split(',').next()).unwrap_or_default();
        ensure!(
            arch != Arch::Aarch64 || !ONLY_32_BITS.contains(&cpu),
            "{cpu} executes no code of AArch64, and the guest would never say a word; \
             `--arch armv7` is for it"
        );
        ensure!(
            self.gic.is_none() || machine == Machine::Virt,
            "--gic is for ARM, and {arch} has no such interrupt controller; leave it out"
        );
        Ok(machine)
    }

    /// The files of the disks, by names that are good from any directory.
    ///
    /// # Errors
    /// If one is not there; the error says how to make it.
    pub fn disks_in_full(&self) -> Result<Vec<PathBuf>> {
        let in_full = |disk: &PathBuf| {
            let name = disk.display();
            let make = format!("`truncate -s 16M {name}` makes an empty one of 16 MiB");
            let file =
                disk.canonicalize().with_context(|| format!("there is no disk {name}; {make}"))?;
            ensure!(!file.is_dir(), "{name} is a directory; a disk is a file or a block device");
            Ok(file)
        };
        self.disks.iter().map(in_full).collect()
    }

    /// The options that were given and say what a machine is like, which a process has no part in.
    pub fn of_machines(&self) -> Vec<&'static str> {
        let usual = Self::default();
        let options = [
            ("--machine", self.machine.is_some()),
            ("--gic", self.gic.is_some()),
            ("--cpu", self.cpu.is_some()),
            ("--smp", self.smp != usual.smp),
            ("--accel", self.accel != usual.accel),
        ];
        options.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// A size of memory. What it means, QEMU knows; but it takes nothing at all for its own default.
fn size(text: &str) -> Result<String> {
    ensure!(
        text.starts_with(|c: char| c.is_ascii_digit()),
        "a size is a number of MiB, or has a suffix, as 4M or 1G"
    );
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_controller_of_arm_is_refused_elsewhere() {
        let hardware = Hardware { gic: Some(3), ..Hardware::default() };
        let error = hardware.machine_for(Arch::X86_64).unwrap_err().to_string();
        assert!(error.starts_with("--gic is for ARM"), "{error}");
        assert_eq!(hardware.machine_for(Arch::Armv7).unwrap(), Machine::Virt);
    }

    #[test]
    fn a_missing_disk_is_named() {
        let error = |disk: &str| {
            let hardware = Hardware { disks: vec![disk.into()], ..Hardware::default() };
            hardware.disks_in_full().unwrap_err().to_string()
        };
        assert!(error("/nowhere/disk.img").contains("truncate -s 16M /nowhere/disk.img"));
        assert_eq!(error("/"), "/ is a directory; a disk is a file or a block device");
    }

    #[test]
    fn a_processor_of_another_architecture_is_refused() {
        let hardware = Hardware { cpu: Some("cortex-a15,pmu=off".into()), ..Hardware::default() };
        let error = hardware.machine_for(Arch::Aarch64).unwrap_err().to_string();
        assert!(error.starts_with("cortex-a15 executes no code of AArch64"), "{error}");
        hardware.machine_for(Arch::Armv7).unwrap();
    }

    #[test]
    fn sizes_are_given() {
        assert!(size("").is_err() && size("M").is_err());
        assert_eq!(size("1.5G").unwrap(), "1.5G");
    }
}
