//! `lab`: real Xen with a Linux dom0, under QEMU.
//!
//! All of it is Debian's, downloaded and unpacked ([`crate::debian`]), never installed: the
//! hypervisor, the kernel of dom0 and the tools. [`parts`] names what is taken, [`dom0`] makes the
//! first file system of it, [`kernels`] unpacks what QEMU and Xen want unpacked, and [`machine`] has
//! the command line of QEMU.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};

use crate::arch::Arch;
use crate::debian::{self, Packages};
use crate::{setup, tools, ui};

mod dom0;
mod kernels;
mod libraries;
mod machine;
mod parts;

/// Boots real Xen with a Linux dom0 under QEMU.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask lab build                 fetches and assembles it; a second time takes no time
  cargo xtask lab shell                 a prompt of dom0, where xl and xenstore-ls work
  cargo xtask lab shell --arch aarch64 --gic 3

Everything comes from Debian packages that are unpacked below target/debian; nothing is installed,
except for QEMU. It needs apt-get. In the shell, `poweroff -f` or Ctrl-C ends the machine.")]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Fetches and assembles what the lab boots; the last line is where it is.
    Build(Hardware),
    /// Boots and gives a prompt of dom0.
    Shell(Hardware),
}

/// An architecture that the lab's Xen can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Xen {
    /// Runs PVH guests of x86-64.
    #[value(name = "x86_64")]
    X86_64,
    /// Runs guests of AArch64 and ARMv7.
    Aarch64,
}

impl Xen {
    /// The architecture of the hypervisor and of dom0.
    fn arch(self) -> Arch {
        match self {
            Self::X86_64 => Arch::X86_64,
            Self::Aarch64 => Arch::Aarch64,
        }
    }
}

/// The machine that Xen runs on.
#[derive(Args, Clone, Debug)]
struct Hardware {
    /// Architecture of Xen: that of aarch64 runs guests of ARMv7, too.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Xen,
    /// Interrupt controller on ARM: GICv2 or GICv3. Guests see the same.
    #[arg(long, value_name = "VERSION", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=3))]
    gic: u8,
}

impl Options {
    /// Builds, or boots.
    pub fn execute(&self) -> Result<u8> {
        match &self.what {
            What::Build(hardware) => {
                println!("{}", Lab::prepare(hardware.arch)?.directory.display());
            }
            What::Shell(hardware) => shell(hardware)?,
        }
        Ok(0)
    }
}

/// Boots, with the terminal as the console of dom0.
fn shell(hardware: &Hardware) -> Result<()> {
    setup::programs(&[hardware.arch.arch().qemu()])?;
    let lab = Lab::prepare(hardware.arch)?;
    ui::progress("Booting", format_args!("Xen and dom0 on {}", hardware.arch.arch()));
    let mut qemu: Command = machine::command(&lab, hardware);
    qemu.args(["-serial", "mon:stdio"]);
    tools::run(&mut qemu)
}

/// What is booted.
struct Lab {
    xen: Xen,
    /// Where the files are.
    directory: PathBuf,
}

impl Lab {
    /// Fetches and assembles what is not there yet.
    ///
    /// # Errors
    /// If packages cannot be fetched, or are not what is expected.
    fn prepare(xen: Xen) -> Result<Self> {
        let packages = Packages::of(xen.arch())?;
        let kernel = packages.dependency(parts::kernel(xen))?;
        let mut names = parts::packages(debian::name(xen.arch()));
        names.push(kernel);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tree = packages.unpack("lab", &names)?;
        let lab = Self { xen, directory: tree.with_file_name("lab-boot") };
        lab.assemble(&tree).context("cannot assemble the lab")?;
        Ok(lab)
    }

    fn assemble(&self, tree: &std::path::Path) -> Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        // What took long is kept as long as the packages are the same.
        let stamp = self.directory.join("packages");
        let receipt = std::fs::read(tree.with_extension("packages"))?;
        if std::fs::read(&stamp).ok().as_ref() != Some(&receipt) {
            ui::progress("Unpacking", "Xen and the kernel of dom0");
            kernels::unpack(tree, self)?;
            std::fs::write(stamp, receipt)?;
        }
        std::fs::write(self.dom0(), dom0::file_system(tree, self.xen)?)?;
        ensure!(self.hypervisor().is_file(), "there is no {}", self.hypervisor().display());
        Ok(())
    }

    /// The hypervisor.
    fn hypervisor(&self) -> PathBuf {
        self.directory.join("xen")
    }

    /// The kernel of dom0.
    fn kernel(&self) -> PathBuf {
        self.directory.join("linux")
    }

    /// The first file system of dom0.
    fn dom0(&self) -> PathBuf {
        self.directory.join("dom0.cpio")
    }
}
