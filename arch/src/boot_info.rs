//! What discovery found out about the machine, in one form for every way of booting.

use core::fmt::{self, Display, Formatter};

use heapless::Vec;

use crate::{PhysAddr, PhysRange};

/// Most memory regions that are kept; smaller ones beyond it are left unused, with a warning.
pub const MAX_REGIONS: usize = 32;

/// Most devices that are kept; QEMU's `virt` machine alone offers 32 virtio-mmio slots.
pub const MAX_DEVICES: usize = 48;

/// The machine as the loader described it: device tree on ARM, PVH start_info on x86, process
/// environment on the host. Checked: ranges are not reversed, memory regions do not overlap.
#[derive(Debug)]
pub struct BootInfo {
    /// RAM that nothing uses yet, in whole frames, ascending: without the image, its page tables,
    /// the loader's structures and the initrd. All of it is mapped, see `mmu::phys_to_virt`.
    pub memory: Vec<PhysRange, MAX_REGIONS>,
    /// All RAM that the loader reported, in bytes, used or not.
    pub memory_total: u64,
    /// The boot arguments. Bytes that are not UTF-8 are dropped from the first bad one on.
    pub command_line: &'static str,
    /// The first boot module or initrd, mapped read-only for as long as the guest runs.
    pub initrd: Option<&'static [u8]>,
    /// Entropy from the loader (device tree `rng-seed`), empty if there was none.
    pub seed: Vec<u8, 64>,
    /// Who runs this guest.
    pub hypervisor: Hypervisor,
    /// What a driver may be started for, in the order of discovery.
    pub devices: Vec<Device, MAX_DEVICES>,
    /// Things that were wrong or left out, for the log; discovery went on without them.
    pub warnings: Vec<&'static str, 8>,
}

/// The hypervisor that the guest runs on, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hypervisor {
    /// QEMU's software emulation.
    Tcg,
    /// Linux KVM.
    Kvm,
    /// Xen.
    Xen,
    /// A Linux process on the developer's machine.
    Unix,
    /// Nothing that could be recognised.
    Unknown,
}

impl Display for Hypervisor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcg => "QEMU",
            Self::Kvm => "KVM",
            Self::Xen => "Xen",
            Self::Unix => "Unix",
            Self::Unknown => "no hypervisor known",
        })
    }
}

/// A device that discovery found, before any driver has looked at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// A virtio-mmio transport; the slot may be empty (device id 0).
    VirtioMmio(VirtioMmio),
    /// A PCI host bridge, to be enumerated for virtio-pci functions.
    PciHost(PciHost),
    /// A UART, for console input.
    Uart(Uart),
    /// The hypervisor Xen, which offers devices by other means than registers.
    Xen(Xen),
    /// Something that the host lends to a process, on the Unix platform.
    Host(HostDevice),
}

/// How a guest is connected with Xen, as far as that differs between machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xen {
    /// The interrupt by which Xen announces events.
    pub upcall: crate::Irq,
    /// What to set `HVM_PARAM_CALLBACK_IRQ` to, where the guest chooses the interrupt.
    pub callback: Option<u64>,
    /// Guest frames that are neither RAM nor a device, where Xen may be told to put its own: the
    /// shared information, the grant table.
    pub window: PhysRange,
    /// `struct shared_info`: where the pending bits of event channels are, in bytes.
    pub pending: usize,
    /// There: where their mask bits are.
    pub mask: usize,
    /// There: where the time of day is.
    pub wall_clock: usize,
}

/// What stands for a device when the guest is a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostDevice {
    /// A network device.
    Net {
        /// Where its frames go.
        link: HostLink,
        /// Its Ethernet address.
        mac: [u8; 6],
    },
    /// A disk, in a file of this name or on a block device.
    Disk {
        /// Name of the file.
        path: &'static str,
        /// Writes fail.
        read_only: bool,
    },
}

/// How Ethernet frames leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostLink {
    /// The TAP interface of this name.
    Tap(&'static str),
    /// The stream socket of this name in the file system, as passt and QEMU's `-netdev stream` use
    /// it: each frame follows its length, a 32-bit number in network byte order.
    Socket(&'static str),
    /// Such a socket, connected and inherited as the descriptor of this number.
    Descriptor(i32),
}

/// A virtio-mmio transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Its registers, not yet mapped.
    pub registers: PhysRange,
    /// Its interrupt line.
    pub irq: crate::Irq,
}

/// How the configuration space of a PCI host bridge is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PciHost {
    /// Memory-mapped configuration space (ECAM), not yet mapped.
    Ecam(PhysRange),
    /// x86 configuration mechanism 1, I/O ports 0xcf8 and 0xcfc.
    Ports,
}

/// A UART and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uart {
    /// What programming model it has.
    pub kind: UartKind,
    /// Its interrupt line, if it has one.
    pub irq: Option<crate::Irq>,
}

/// Programming model of a UART and where its registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UartKind {
    /// ARM PL011, memory-mapped.
    Pl011(PhysAddr),
    /// ARM's generic UART, memory-mapped: what PL011 has for moving bytes, and no more (ARM DEN 0029,
    /// appendix "Generic UART"). Hypervisors play it.
    Sbsa(PhysAddr),
    /// 16550 at an x86 I/O port.
    Port16550(u16),
    /// Standard input and output of the host process.
    Stdio,
}
