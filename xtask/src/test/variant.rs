//! The machines that each test guest runs on.

use crate::arch::Arch;
use crate::run::{Hardware, Machine};

/// A machine to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// What tests are called that run on it, after the architecture.
    pub name: &'static str,
    machine: Machine,
    gic: u8,
}

const fn variant(name: &'static str, machine: Machine, gic: u8) -> Variant {
    Variant { name, machine, gic }
}

/// The machines of an architecture, the usual one first.
pub fn of(arch: Arch) -> &'static [Variant] {
    const X86: [Variant; 3] = [
        variant("microvm", Machine::Microvm, 2),
        variant("q35", Machine::Q35, 2),
        variant("pc", Machine::Pc, 2),
    ];
    const ARM: [Variant; 2] =
        [variant("gic2", Machine::Virt, 2), variant("gic3", Machine::Virt, 3)];
    match arch {
        Arch::X86_64 => &X86,
        Arch::Aarch64 | Arch::Armv7 => &ARM,
    }
}

impl Variant {
    /// The hardware.
    pub fn hardware(self) -> Hardware {
        Hardware { machine: Some(self.machine), gic: Some(self.gic), ..Hardware::default() }
    }
}
