//! The types of machine that QEMU emulates for us.

use std::fmt;

use clap::ValueEnum;

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
    pub fn argument(self, gic: u8) -> String {
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

    /// Whether it is one of this architecture.
    pub fn fits(self, arch: Arch) -> bool {
        (self == Self::Virt) == (arch != Arch::X86_64)
    }
}

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
