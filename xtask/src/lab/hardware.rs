//! The machine that Xen runs on.

use std::fs::Metadata;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Xen;
use crate::run::Network;

/// A daemon that keeps XenStore. Guests can tell them apart, and both are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// Xen's own, in C.
    #[default]
    Xenstored,
    /// That in OCaml, which XenServer and XCP-ng run.
    Oxenstored,
}

impl Store {
    /// What the program is called.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Xenstored => "xenstored",
            Self::Oxenstored => "oxenstored",
        }
    }
}

/// The version of ARM's interrupt controller when none is asked for.
const DEFAULT_GIC: u8 = 3;

/// The machine that Xen runs on.
#[derive(Args, Clone, Debug)]
pub struct Hardware {
    /// Architecture of Xen: that of aarch64 runs guests of ARMv7, too; that of armv7 has GICv2.
    #[arg(long, value_enum, default_value = "x86_64")]
    pub(super) arch: Xen,
    /// Interrupt controller on ARM: GICv2 or GICv3. Guests see the same.
    #[arg(long, value_name = "VERSION", default_value_t = DEFAULT_GIC, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub(super) gic: u8,
    /// The daemon that keeps XenStore.
    #[arg(long, value_enum, value_name = "DAEMON", default_value = "xenstored")]
    pub(super) store: Store,
    /// Boots, instead of going on from where an earlier boot had come to.
    #[arg(long)]
    fresh: bool,
    /// What its network card is connected to; it has none if there is no network.
    #[arg(skip = Network::None)]
    pub(super) network: Network,
    /// More of QEMU's arguments.
    #[arg(skip)]
    pub(super) extra: Vec<String>,
    /// Files that dom0 has as disks, see [`disk`].
    #[arg(skip)]
    pub(super) disks: Vec<PathBuf>,
}

/// What dom0 calls a disk of its machine, by its number.
pub fn disk(number: usize) -> String {
    format!("/dev/lab-disk{number}")
}

impl Hardware {
    /// The usual machine.
    pub fn default_of(arch: Xen) -> Self {
        Self::with_gic(arch, DEFAULT_GIC)
    }

    /// A machine with a certain version of ARM's interrupt controller.
    pub fn with_gic(arch: Xen, gic: u8) -> Self {
        let (network, extra, disks) = (Network::None, Vec::new(), Vec::new());
        Self { arch, gic, store: Store::default(), fresh: false, network, extra, disks }
    }

    /// The same machine with another daemon for XenStore.
    pub fn with_store(self, store: Store) -> Self {
        Self { store, ..self }
    }

    /// The same machine with nothing attached.
    pub(super) fn without_devices(&self) -> Self {
        Self { store: self.store, ..Self::with_gic(self.arch, self.gic) }
    }

    /// The same machine with a network card, which is on the bridge that guests are on. The network
    /// takes them for the machine.
    pub fn on_network(self, network: Network) -> Self {
        Self { network, ..self }
    }

    /// The same machine, with more of QEMU's arguments.
    pub fn with_arguments(self, extra: Vec<String>) -> Self {
        Self { extra, ..self }
    }

    /// The same machine with these files as its disks, which dom0 has as [`disk`].
    pub fn with_disks(self, disks: Vec<PathBuf>) -> Self {
        Self { disks, ..self }
    }

    /// What dom0 notices of network and disks while it boots, if that may be the same the next time.
    /// `None` if it is to boot anyway, or is not as usual.
    pub(super) fn shape(&self) -> Option<(bool, Vec<u64>)> {
        let size = |file: &PathBuf| file.metadata().ok().filter(Metadata::is_file);
        let sizes: Option<Vec<_>> = self.disks.iter().map(size).collect();
        let sizes = sizes?.iter().map(Metadata::len).collect();
        let is_usual = self.extra.is_empty() && !matches!(self.network, Network::Tap(_));
        let is_kept = is_usual && !self.fresh;
        is_kept.then_some((matches!(self.network, Network::None), sizes))
    }
}
