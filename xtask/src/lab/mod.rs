//! `lab`: real Xen with a Linux dom0, under QEMU.
//!
//! All of it is Debian's, downloaded and unpacked ([`crate::debian`]), never installed: the
//! hypervisor, the kernel of dom0 and the tools. [`parts`] names what is taken, [`dom0`] makes the
//! first file system of it, [`kernels`] unpacks what QEMU and Xen want unpacked, and [`machine`] has
//! the command line of QEMU.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use crate::arch::Arch;
use crate::debian::{self, Packages};
use crate::{shared, ui};

mod dom0;
mod dom0less;
mod domain;
mod exec;
mod hardware;
mod kernels;
mod libraries;
mod linux_guest;
mod machine;
mod monitor;
mod parts;
mod programs;
mod session;
mod shell;
mod snapshot;

pub use dom0less::{DirectEnding, Dom0less};
pub use domain::{Domain, Ending, Reason, console_log};
pub use hardware::{Hardware, Store, disk};
pub use linux_guest::{ADDRESS as LINUX_ADDRESS, LinuxGuest};
pub use programs::{CLIENTS, QEMU};
pub use session::{CONSOLE_FILE, Session};

/// Boots real Xen with a Linux dom0 under QEMU.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask lab build                 fetches and assembles it; a second time takes no time
  cargo xtask lab shell                 a prompt of dom0, where xl and xenstore-ls work
  cargo xtask lab shell --arch aarch64 --gic 3
  cargo xtask lab shell --arch armv7    Xen of 32 bits
  cargo xtask xl-cfg hello > hello.cfg  for the next ones; it builds the image, too
  cargo xtask lab shell --file hello.cfg --file target/mayfly/x86_64/dev/hello
  cargo xtask lab exec 'xl create hello.cfg && xl list' --file hello.cfg \\
      --file target/mayfly/x86_64/dev/hello

To just run an app: cargo xtask run hello --on xen

Everything comes from Debian packages that are unpacked below target/debian; nothing is installed,
except for QEMU. It needs apt-get, and the package lists of Debian 12. In the shell, `poweroff -f`
ends the machine, and so does Ctrl-A X.")]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Fetches and assembles what the lab boots; the last line is where it is.
    Build(Hardware),
    /// Boots and gives a prompt of dom0.
    Shell(shell::Shell),
    /// Boots, has dom0 run a command, and ends with its exit status.
    Exec(exec::Exec),
}

/// An architecture that the lab's Xen can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Xen {
    /// Runs PVH guests of x86-64.
    #[value(name = "x86_64")]
    X86_64,
    /// Runs guests of AArch64 and ARMv7.
    Aarch64,
    /// Runs guests of ARMv7, on a processor that has nothing else.
    Armv7,
}

impl Xen {
    /// The Xen that runs guests of an architecture.
    pub fn of(guest: Arch) -> Self {
        match guest {
            Arch::X86_64 => Self::X86_64,
            Arch::Aarch64 | Arch::Armv7 => Self::Aarch64,
        }
    }

    /// The architecture of the hypervisor and of dom0.
    pub fn arch(self) -> Arch {
        match self {
            Self::X86_64 => Arch::X86_64,
            Self::Aarch64 => Arch::Aarch64,
            Self::Armv7 => Arch::Armv7,
        }
    }
}

impl Options {
    /// Builds, or boots.
    pub fn execute(&self) -> Result<u8> {
        match &self.what {
            What::Build(hardware) => {
                println!("{}", Lab::prepare(hardware.arch)?.directory.display());
            }
            What::Shell(shell) => shell.execute()?,
            What::Exec(exec) => return exec.execute(),
        }
        Ok(0)
    }
}

/// The files that are booted: the hypervisor, dom0's kernel, and its first file system.
const HYPERVISOR: &str = "xen";
const KERNEL: &str = "linux";
const DOM0: &str = "dom0.cpio";

/// What is booted.
pub struct Lab {
    /// Architecture of Xen.
    pub xen: Xen,
    /// Where the files are.
    directory: PathBuf,
}

impl Lab {
    /// Fetches and assembles what is not there yet.
    ///
    /// # Errors
    /// If packages cannot be fetched, or are not what is expected.
    pub fn prepare(xen: Xen) -> Result<Self> {
        Self::assemble(xen, &Self::fetch(xen)?)
    }

    /// Fetches the packages; gives the directory in which they are unpacked.
    ///
    /// # Errors
    /// If they cannot be fetched.
    pub fn fetch(xen: Xen) -> Result<PathBuf> {
        let packages = Packages::of(xen.arch())?;
        let kernel = packages.dependency(parts::kernel(xen))?;
        let mut names = parts::packages(debian::name(xen.arch()));
        names.push(kernel);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        packages.unpack("lab", &names)
    }

    /// Makes what is booted from the packages in `tree`.
    ///
    /// # Errors
    /// If they are not what is expected.
    pub fn assemble(xen: Xen, tree: &Path) -> Result<Self> {
        let lab = Self { xen, directory: tree.with_file_name("lab-boot") };
        lab.make(tree).context("cannot assemble the lab")?;
        Ok(lab)
    }

    fn make(&self, tree: &Path) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        // Neither the packages nor what is made of them may change meanwhile.
        let _packages = debian::lock(self.xen.arch())?;
        // What took long is kept as long as the packages are the same.
        let stamp = self.directory.join("packages");
        let receipt = fs::read(tree.with_extension("packages"))?;
        if fs::read(&stamp).ok().as_ref() != Some(&receipt) {
            ui::progress("Unpacking", "Xen and the kernel of dom0");
            kernels::unpack(tree, self)?;
            fs::write(stamp, receipt)?;
        }
        shared::replace(&self.directory.join(DOM0), &dom0::file_system(tree, self.xen)?)
    }

    /// Where the files are.
    fn directory(&self) -> &Path {
        &self.directory
    }
}
