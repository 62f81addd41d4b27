//! The machines that QEMU emulates for us, and the command lines that make them.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::network::Network;
use crate::arch::Arch;

/// A machine type of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Machine {
    /// x86: small, without firmware to speak of; devices by virtio-mmio.
    Microvm,
    /// x86: a PC with PCI Express.
    Q35,
    /// x86: a PC as of 1996, with PCI.
    Pc,
    /// ARM: devices by virtio-mmio.
    Virt,
}

impl Machine {
    /// The machine that an architecture gets when none is asked for.
    pub fn default_for(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => Self::Microvm,
            Arch::Aarch64 | Arch::Armv7 => Self::Virt,
        }
    }

    /// What QEMU calls it, with the options it needs.
    fn argument(self, gic: u8) -> String {
        match self {
            // With ACPI, QEMU would describe the virtio-mmio devices there and not on the command
            // line.
            Self::Microvm => "microvm,acpi=off".into(),
            Self::Q35 => "q35".into(),
            Self::Pc => "pc".into(),
            Self::Virt => format!("virt,gic-version={gic}"),
        }
    }

    /// How devices are attached, as the last part of QEMU's names for them.
    pub fn transport(self) -> &'static str {
        match self {
            Self::Microvm | Self::Virt => "device",
            Self::Q35 | Self::Pc => "pci",
        }
    }

    fn fits(self, arch: Arch) -> bool {
        (self == Self::Virt) == (arch != Arch::X86_64)
    }
}

/// The processors without AArch64 that QEMU's virt machine takes, even where it is to run AArch64
/// (`valid_cpus` in hw/arm/virt.c of QEMU 7.2).
const ONLY_32_BITS: [&str; 2] = ["cortex-a7", "cortex-a15"];

/// By its name on the command line.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Microvm => "microvm",
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Virt => "virt",
        })
    }
}

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
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
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

/// Everything that QEMU is told about one guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What it runs on.
    pub arch: Arch,
    /// The image.
    pub image: PathBuf,
    /// The machine.
    pub hardware: Hardware,
    /// How it is connected.
    pub network: Network,
    /// Boot arguments.
    pub arguments: Vec<String>,
    /// Port on the loopback address at which the guest waits for a debugger before it starts.
    pub gdb: Option<u16>,
    /// More arguments for QEMU itself.
    pub extra: Vec<String>,
}

impl Guest {
    /// QEMU's arguments.
    ///
    /// # Errors
    /// If the hardware does not fit the architecture, or a disk is not there.
    pub fn qemu_arguments(&self) -> Result<Vec<String>> {
        let machine = self.hardware.machine_for(self.arch)?;
        let mut arguments = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        add(&[
            "-machine",
            &machine.argument(self.hardware.gic.unwrap_or(2)),
            "-accel",
            &self.hardware.accel,
        ]);
        let default_cpu = (self.arch == Arch::Aarch64).then_some("cortex-a53");
        if let Some(cpu) = self.hardware.cpu.as_deref().or(default_cpu) {
            add(&["-cpu", cpu]);
        }
        add(&["-m", &self.hardware.memory, "-smp", &self.hardware.smp.to_string()]);
        // Ctrl-C ends QEMU, it is not for the guest.
        add(&["-chardev", "stdio,id=console,signal=on", "-serial", "chardev:console"]);
        // virtio-mmio as the standard has it since 1.0, not as it was before.
        add(&["-global", "virtio-mmio.force-legacy=false"]);
        let transport = machine.transport();
        if self.hardware.entropy {
            add(&["-device", &format!("virtio-rng-{transport}")]);
        }
        if let Some((backend, device)) = self.network.qemu_arguments(transport) {
            add(&["-netdev", &backend, "-device", &device]);
        }
        for (index, disk) in self.hardware.disks_in_full()?.iter().enumerate() {
            // A comma ends a value on QEMU's command line, two are one comma.
            let file = disk.to_string_lossy().replace(',', ",,");
            let what = "if=none,format=raw,discard=unmap";
            add(&["-drive", &format!("{what},id=disk{index},file={file}")]);
            add(&["-device", &format!("virtio-blk-{transport},drive=disk{index}")]);
        }
        let exit = exit_device(self.arch);
        add(exit.qemu);
        if let Some(port) = self.gdb {
            add(&["-gdb", &format!("tcp:127.0.0.1:{port}"), "-S"]);
        }
        add(&["-kernel", &self.image.to_string_lossy()]);
        let words = std::iter::once(exit.boot_argument.to_owned());
        let words = words.chain(self.arguments.iter().map(|word| crate::tools::quote(word)));
        add(&["-append", &words.collect::<Vec<_>>().join(" ")]);
        arguments.extend(self.extra.iter().cloned());
        Ok(arguments)
    }
}

/// How a guest makes QEMU end with an exit status of its choice.
struct ExitDevice {
    /// What gives QEMU the means.
    qemu: &'static [&'static str],
    /// What tells the guest of it.
    boot_argument: &'static str,
}

fn exit_device(arch: Arch) -> ExitDevice {
    match arch {
        Arch::X86_64 => ExitDevice {
            qemu: &["-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
            boot_argument: "mayfly.exit=debug-exit:0xf4",
        },
        Arch::Aarch64 | Arch::Armv7 => ExitDevice {
            qemu: &["-semihosting-config", "enable=on,target=native"],
            boot_argument: "mayfly.exit=semihosting",
        },
    }
}

/// The exit status of the guest, if QEMU ended with `code` because the guest told it to.
///
/// isa-debug-exit makes QEMU end with twice what the guest wrote plus one, so that a guest that
/// ends well looks like a QEMU that failed: `qemu_complained` tells them apart.
pub fn guest_status(arch: Arch, code: i32, qemu_complained: bool) -> Option<u8> {
    if code == 1 && qemu_complained {
        return None;
    }
    let code = u8::try_from(code).ok()?;
    match arch {
        Arch::X86_64 if code % 2 == 1 => Some(code / 2),
        Arch::X86_64 => (code == 0).then_some(0),
        Arch::Aarch64 | Arch::Armv7 => Some(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Forward;

    /// The same guest as `run` starts without any option.
    fn example(arch: Arch) -> Guest {
        Guest {
            arch,
            image: "image".into(),
            hardware: Hardware::default(),
            network: Network::User(vec![Forward::tcp(8080, 80)]),
            arguments: Vec::new(),
            gdb: None,
            extra: Vec::new(),
        }
    }

    fn line(guest: &Guest) -> String {
        guest.qemu_arguments().unwrap().join(" ")
    }

    #[test]
    fn devices_are_attached_as_the_machine_has_it() {
        let mut guest = example(Arch::X86_64);
        assert!(line(&guest).contains("-device virtio-net-device,netdev=net0"));
        guest.hardware.machine = Some(Machine::Q35);
        assert!(line(&guest).contains("-device virtio-net-pci,netdev=net0"));
        assert!(line(&guest).contains("-append mayfly.exit=debug-exit:0xf4"));
        guest.arch = Arch::Armv7;
        let error = guest.qemu_arguments().unwrap_err().to_string();
        assert!(error.starts_with("q35 is no machine for armv7"), "{error}");
    }

    #[test]
    fn an_interrupt_controller_of_arm_is_refused_elsewhere() {
        let hardware = Hardware { gic: Some(3), ..Hardware::default() };
        let error = hardware.machine_for(Arch::X86_64).unwrap_err().to_string();
        assert!(error.starts_with("--gic is for ARM"), "{error}");
        assert_eq!(hardware.machine_for(Arch::Armv7).unwrap(), Machine::Virt);
    }

    #[test]
    fn boot_arguments_are_quoted_for_the_guest() {
        let mut guest = example(Arch::Aarch64);
        guest.arguments = vec!["greeting=good morning".into(), "level=debug".into()];
        let expected = "-append mayfly.exit=semihosting 'greeting=good morning' level=debug";
        assert!(line(&guest).contains(expected));
        assert!(line(&guest).contains("-machine virt,gic-version=2 -accel tcg -cpu cortex-a53"));
    }

    #[test]
    fn a_missing_disk_is_named() {
        let mut guest = example(Arch::X86_64);
        guest.hardware.disks = vec!["/nowhere/disk.img".into()];
        let error = guest.qemu_arguments().unwrap_err().to_string();
        assert!(error.contains("truncate -s 16M /nowhere/disk.img"));
        guest.hardware.disks = vec!["/".into()];
        let error = guest.qemu_arguments().unwrap_err().to_string();
        assert_eq!(error, "/ is a directory; a disk is a file or a block device");
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

    #[test]
    fn exit_codes_of_qemu_become_exit_statuses_of_guests() {
        assert_eq!(guest_status(Arch::X86_64, 1, false), Some(0));
        assert_eq!(guest_status(Arch::X86_64, 1, true), None);
        assert_eq!(guest_status(Arch::X86_64, 5, false), Some(2));
        assert_eq!(guest_status(Arch::X86_64, 0, false), Some(0));
        assert_eq!(guest_status(Arch::Aarch64, 2, false), Some(2));
        assert_eq!(guest_status(Arch::Armv7, 1, true), None);
    }
}
