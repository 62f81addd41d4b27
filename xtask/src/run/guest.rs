//! A guest in QEMU: the command line that makes it, and the exit status that it ends with.

use std::path::PathBuf;

use anyhow::Result;

use super::hardware::Hardware;
use super::network::Network;
use crate::arch::Arch;

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
    use crate::run::{Forward, Machine};

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
    fn boot_arguments_are_quoted_for_the_guest() {
        let mut guest = example(Arch::Aarch64);
        guest.arguments = vec!["greeting=good morning".into(), "level=debug".into()];
        let expected = "-append mayfly.exit=semihosting 'greeting=good morning' level=debug";
        assert!(line(&guest).contains(expected));
        assert!(line(&guest).contains("-machine virt,gic-version=2 -accel tcg -cpu cortex-a53"));
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
