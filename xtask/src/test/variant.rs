//! The machines that each test guest runs on.

use crate::arch::Arch;
use crate::run::{Hardware, Machine, bytes};

/// Stands for as little memory as QEMU starts a guest with, see [`memory`].
pub const LEAST_MEMORY: &str = "least";

/// The size of memory that stands for `size` on `arch`.
pub fn memory(size: &str, arch: Arch) -> &str {
    match (size, arch) {
        // With less, QEMU does not find a place for the device tree.
        (LEAST_MEMORY, Arch::Aarch64) => "3M",
        (LEAST_MEMORY, _) => "2M",
        _ => size,
    }
}

/// Whether QEMU makes a machine with such a processor and so much memory: on ARMv7, its `max` has
/// addresses of 32 bits only, and is refused more memory than these reach.
pub fn exists(arch: Arch, cpu: &str, memory: &str) -> bool {
    let reached = 3 << 30;
    arch != Arch::Armv7 || cpu != "max" || bytes(memory).is_none_or(|bytes| bytes <= reached)
}

/// A machine to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// What tests are called that run on it, after the architecture.
    pub name: &'static str,
    machine: Machine,
    gic: Option<u8>,
    /// More arguments for QEMU.
    extra: &'static [&'static str],
}

/// The guest is entered at the level of hypervisors: EL2, or HYP on ARMv7.
const HYPERVISOR: &[&str] = &["-machine", "virtualization=on"];
/// Devices of virtio-mmio are as they were before the standard's version 1.0. QEMU's are, when it is
/// not told otherwise.
const LEGACY: &[&str] = &["-global", "virtio-mmio.force-legacy=true"];
/// The devices of microvm are in ACPI tables and not on the command line, as QEMU has it when it is
/// not told otherwise.
const ACPI: &[&str] = &["-machine", "acpi=on"];

const fn variant(name: &'static str, machine: Machine, gic: Option<u8>) -> Variant {
    Variant { name, machine, gic, extra: &[] }
}

/// The machines of an architecture, the usual one first.
pub fn of(arch: Arch) -> &'static [Variant] {
    const X86: [Variant; 3] = [
        variant("microvm", Machine::Microvm, None),
        variant("q35", Machine::Q35, None),
        variant("pc", Machine::Pc, None),
    ];
    const ARM: [Variant; 2] =
        [variant("gic2", Machine::Virt, Some(2)), variant("gic3", Machine::Virt, Some(3))];
    match arch {
        Arch::X86_64 => &X86,
        Arch::Aarch64 | Arch::Armv7 => &ARM,
    }
}

/// The machines of an architecture that a guest runs on only if it names them.
pub fn special(arch: Arch) -> &'static [Variant] {
    const X86: [Variant; 2] = [
        Variant { extra: LEGACY, ..variant("legacy", Machine::Microvm, None) },
        Variant { extra: ACPI, ..variant("acpi", Machine::Microvm, None) },
    ];
    const ARM: [Variant; 3] = [
        Variant { extra: HYPERVISOR, ..variant("hyp-gic2", Machine::Virt, Some(2)) },
        Variant { extra: HYPERVISOR, ..variant("hyp-gic3", Machine::Virt, Some(3)) },
        Variant { extra: LEGACY, ..variant("legacy", Machine::Virt, Some(2)) },
    ];
    match arch {
        Arch::X86_64 => &X86,
        Arch::Aarch64 | Arch::Armv7 => &ARM,
    }
}

impl Variant {
    /// More arguments for QEMU. Options of a machine are added to those that it has already; of two
    /// values for one, the later counts.
    pub fn extra(self) -> Vec<String> {
        self.extra.iter().map(|&word| word.to_owned()).collect()
    }

    /// The hardware.
    pub fn hardware(self) -> Hardware {
        Hardware { machine: Some(self.machine), gic: self.gic, ..Hardware::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_memory_is_what_qemu_can_do_with() {
        assert_eq!(memory(LEAST_MEMORY, Arch::Aarch64), "3M");
        assert_eq!(memory(LEAST_MEMORY, Arch::Armv7), "2M");
        assert_eq!(memory("64M", Arch::Aarch64), "64M");
    }

    #[test]
    fn machines_that_qemu_refuses_are_left_out() {
        assert!(exists(Arch::Armv7, "max", "3G") && exists(Arch::Armv7, "default", "8G"));
        assert!(!exists(Arch::Armv7, "max", "8G") && exists(Arch::Aarch64, "max", "8G"));
    }
}
