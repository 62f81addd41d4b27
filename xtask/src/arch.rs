//! The architectures that images are built for, and what the tools call them.

use std::fmt;
use std::ops::Range;

use clap::ValueEnum;

/// Without it the crate chacha20 would look at CPUID and use vector registers, which an image has
/// not switched on.
const PORTABLE_CHACHA: &str = "--cfg=chacha20_backend=\"soft\"";

/// An architecture that an image can be built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Arch {
    /// 64-bit x86.
    #[value(name = "x86_64", alias = "x86-64", alias = "amd64")]
    X86_64,
    /// 64-bit ARM.
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
    /// 32-bit ARM with the virtualisation extensions' long page tables.
    #[value(name = "armv7", alias = "arm")]
    Armv7,
}

impl Arch {
    /// All of them, in the order in which they are built and tested.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Aarch64, Self::Armv7];

    /// The name on our command line, of the linker script and of the output directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Armv7 => "armv7",
        }
    }

    /// The Rust target.
    pub const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-none",
            Self::Aarch64 => "aarch64-unknown-none-softfloat",
            Self::Armv7 => "armv7a-none-eabi",
        }
    }

    /// The program that emulates the architecture.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
            Self::Armv7 => "qemu-system-arm",
        }
    }

    /// Code generation flags of every crate in an image.
    ///
    /// They are the same at each build, and the same as in `.cargo/config.toml`: cargo builds
    /// everything anew when they change.
    pub const fn rustflags(self) -> &'static [&'static str] {
        match self {
            // The target's default is a position-independent executable, which cannot hold the
            // 32-bit code that PVH enters.
            Self::X86_64 => {
                &["-Crelocation-model=static", "-Cforce-frame-pointers=yes", PORTABLE_CHACHA]
            }
            Self::Aarch64 | Self::Armv7 => &["-Cforce-frame-pointers=yes", PORTABLE_CHACHA],
        }
    }

    /// Where an image may be linked: ARCHITECTURE.md, "The image".
    pub const fn base_range(self) -> Range<u64> {
        match self {
            Self::X86_64 => 0xffff_ffff_8000_0000..0xffff_ffff_c000_0000,
            Self::Aarch64 => 0x40_0000_0000..0x7f_0000_0000,
            Self::Armv7 => 0x1000_0000..0x2f00_0000,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What `--arch` takes: one architecture, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArchChoice {
    /// 64-bit x86.
    #[value(name = "x86_64", alias = "x86-64", alias = "amd64")]
    X86_64,
    /// 64-bit ARM.
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
    /// 32-bit ARM.
    #[value(name = "armv7", alias = "arm")]
    Armv7,
    /// Each of them in turn.
    All,
}

impl ArchChoice {
    /// The architectures that are meant.
    pub fn list(self) -> &'static [Arch] {
        match self {
            Self::X86_64 => &[Arch::X86_64],
            Self::Aarch64 => &[Arch::Aarch64],
            Self::Armv7 => &[Arch::Armv7],
            Self::All => &Arch::ALL,
        }
    }
}
