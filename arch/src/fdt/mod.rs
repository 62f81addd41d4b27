//! What a device tree says about the machine.
//!
//! [`discover`] reads a flattened device tree once, from front to back, and keeps what a guest
//! needs: memory, interrupt controller, timer, console, virtio slots, power, boot arguments. It
//! knows no hardware and allocates nothing, so all of it is tested on the host.
//!
//! The tree comes from the loader, and memory may have been overwritten since. Nothing in it is
//! believed unchecked; a node that makes no sense is left out with a warning, a
//! tree that makes no sense is an [`FdtError`].

mod blocks;
mod error;
mod names;
mod nodes;
mod survey;
#[cfg(test)]
mod tests;
mod values;

use heapless::Vec;

pub use self::{
    blocks::{total_size, used_size},
    error::FdtError,
};
use crate::{Hypervisor, Irq, MAX_REGIONS, PhysRange, Uart, VirtioMmio};

/// Most virtio-mmio slots that are kept; QEMU's `virt` machine has as many.
const MAX_VIRTIO: usize = 32;

/// What a device tree says, checked and in host byte order.
#[derive(Debug)]
pub struct Discovered {
    /// RAM, in the tree's order. Ranges are not empty and do not overlap, but need not be aligned.
    pub memory: Vec<PhysRange, MAX_REGIONS>,
    /// Memory that the tree sets aside: its reservation block and the children of
    /// `/reserved-memory`. Does not include the tree itself nor the initrd. May overlap.
    pub reserved: Vec<PhysRange, MAX_REGIONS>,
    /// The initrd, if the loader passed one.
    pub initrd: Option<PhysRange>,
    /// The boot arguments, up to the first byte that is not UTF-8. Empty if there are none.
    pub command_line: &'static str,
    /// `rng-seed` of `/chosen`, or the shorter `kaslr-seed` where that is all there is.
    pub seed: Vec<u8, 64>,
    /// The interrupt controller.
    pub gic: Option<Gic>,
    /// The interrupt of the virtual timer (CNTV).
    pub virtual_timer: Option<TimerIrq>,
    /// Ticks of its counter in a second, not 0, where firmware does not tell the processor.
    pub timer_frequency: Option<u32>,
    /// The PL011 that `stdout-path` names, otherwise the first one. Its address is a multiple of 4.
    pub uart: Option<Uart>,
    /// virtio-mmio slots, in the tree's order. A slot may be empty.
    pub virtio: Vec<(VirtioMmio, Trigger), MAX_VIRTIO>,
    /// Registers of a PL031 real-time clock: at least the first, at a multiple of 4.
    pub rtc: Option<PhysRange>,
    /// How PSCI is called.
    pub psci: Option<Conduit>,
    /// [`Hypervisor::Xen`] if the tree has its node, otherwise unknown.
    pub hypervisor: Hypervisor,
    /// Where grant-table frames may be mapped, on Xen. Begins with a frame.
    pub xen_grant_region: Option<PhysRange>,
    /// The interrupt by which Xen announces events.
    pub xen_event: Option<TimerIrq>,
    /// What was left out, in words.
    pub warnings: Vec<&'static str, 8>,
}

impl Default for Discovered {
    fn default() -> Self {
        Self {
            memory: Vec::new(),
            reserved: Vec::new(),
            initrd: None,
            command_line: "",
            seed: Vec::new(),
            gic: None,
            virtual_timer: None,
            timer_frequency: None,
            uart: None,
            virtio: Vec::new(),
            rtc: None,
            psci: None,
            hypervisor: Hypervisor::Unknown,
            xen_grant_region: None,
            xen_event: None,
            warnings: Vec::new(),
        }
    }
}

/// The interrupt controller and where its registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv2 (also GIC-400).
    V2 {
        /// Registers of the distributor.
        distributor: PhysRange,
        /// Registers of the CPU interface.
        cpu_interface: PhysRange,
    },
    /// GICv3 or later, whose CPU interface is in system registers.
    V3 {
        /// Registers of the distributor.
        distributor: PhysRange,
        /// The redistributor frames of the first CPUs, among them the boot CPU.
        redistributor: PhysRange,
    },
}

/// A private or shared interrupt with its trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerIrq {
    /// GIC interrupt id.
    pub irq: Irq,
    /// When it is pending.
    pub trigger: Trigger,
}

/// When an interrupt line makes its interrupt pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At a change of the line.
    Edge,
    /// As long as the line is active.
    Level,
}

/// The instruction that calls PSCI, the firmware interface for power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// `hvc`: the hypervisor answers.
    Hvc,
    /// `smc`: the secure monitor, or whoever emulates one, answers.
    Smc,
}

/// Reads the tree that starts at `tree[0]`; bytes after its end do not matter.
///
/// # Errors
/// [`FdtError`] if `tree` is not a consistent tree of format version 17, or names no memory.
pub fn discover(tree: &'static [u8]) -> Result<Discovered, FdtError> {
    // Filled in where it is returned, because it is large.
    let mut found = Discovered::default();
    survey::Survey::run(&blocks::locate(tree)?, &mut found)?;
    Ok(found)
}
