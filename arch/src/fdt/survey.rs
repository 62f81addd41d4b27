//! The walk over a checked tree.

use fdt::{
    Fdt,
    helpers::AlignedFallibleNode,
    nodes::{AsNode, NodeName},
};
use heapless::Vec;

use super::{
    Conduit, Discovered, FdtError, Gic, TimerIrq,
    check::{Checked, MAX_DEPTH},
    values::{CellSizes, Reg, Wraps, cell, interrupt, number, strings},
};
use crate::{Hypervisor, Irq, PhysAddr, PhysRange, Uart, UartKind, VirtioMmio};

type Node = AlignedFallibleNode<'static>;

/// What a node means to its children.
#[derive(Clone, Copy)]
struct Bus {
    cells: CellSizes,
    kind: BusKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BusKind {
    /// Addresses of the children are physical addresses.
    Plain,
    /// As `Plain`; the children are the reserved ranges.
    ReservedMemory,
    /// Addresses of the children mean something else, or the bus is disabled.
    Opaque,
}

/// The properties that matter in any node but `/chosen`.
#[derive(Default)]
struct Properties {
    compatible: &'static [u8],
    reg: &'static [u8],
    interrupts: &'static [u8],
    method: &'static [u8],
    /// `ranges`, of which only the empty one is understood.
    ranges: Option<&'static [u8]>,
    interrupt_cells: Option<u32>,
    address_cells: Option<u32>,
    size_cells: Option<u32>,
    is_memory: bool,
    disabled: bool,
}

impl Properties {
    fn read(node: Node) -> Result<Self, fdt::FdtError> {
        let mut this = Self::default();
        for property in node.properties()? {
            let property = property?;
            let value = property.value;
            match property.name {
                "compatible" => this.compatible = value,
                "reg" => this.reg = value,
                "interrupts" => this.interrupts = value,
                "method" => this.method = value,
                "ranges" => this.ranges = Some(value),
                "#interrupt-cells" => this.interrupt_cells = cell(value),
                "#address-cells" => this.address_cells = cell(value),
                "#size-cells" => this.size_cells = cell(value),
                "device_type" => this.is_memory = value == b"memory\0",
                "status" => this.disabled = !matches!(value, b"okay\0" | b"ok\0"),
                _ => {}
            }
        }
        Ok(this)
    }

    fn cells(&self) -> CellSizes {
        CellSizes {
            address: self.address_cells.unwrap_or(CellSizes::DEFAULT.address),
            size: self.size_cells.unwrap_or(CellSizes::DEFAULT.size),
        }
    }
}

/// What has been found so far.
struct Survey {
    found: Discovered,
    /// By depth: the node that the walk is in, as the bus of its children.
    buses: [Bus; MAX_DEPTH],
    /// `stdout-path`, without options after a colon.
    stdout: &'static [u8],
    uarts: Vec<(NodeName<'static>, Uart), 4>,
}

/// Walks the tree.
pub(super) fn survey(tree: &Checked) -> Result<Discovered, FdtError> {
    let mut survey = Survey::new();
    survey.read_reservations(tree.reservations);
    // After `check` the crate finds nothing to complain about but names that are not UTF-8.
    survey.walk(tree.words).map_err(|_| FdtError::BadProperty)?;
    survey.finish()
}

impl Survey {
    fn new() -> Self {
        let bus = Bus { cells: CellSizes::DEFAULT, kind: BusKind::Opaque };
        Self {
            found: Discovered {
                memory: Vec::new(),
                reserved: Vec::new(),
                initrd: None,
                command_line: "",
                seed: Vec::new(),
                gic: None,
                virtual_timer: None,
                uart: None,
                virtio: Vec::new(),
                rtc: None,
                psci: None,
                hypervisor: Hypervisor::Unknown,
                xen_grant_region: None,
                xen_event: None,
                warnings: Vec::new(),
            },
            buses: [bus; MAX_DEPTH],
            stdout: b"",
            uarts: Vec::new(),
        }
    }

    /// Notes something that was left out, once; when the list is full, no more.
    fn warn(&mut self, warning: &'static str) {
        if !self.found.warnings.contains(&warning) {
            let _ = self.found.warnings.push(warning);
        }
    }

    /// The memory reservation block: pairs of address and size that end with a pair of zeros.
    fn read_reservations(&mut self, block: &[u8]) {
        for entry in block.chunks_exact(16) {
            let (address, size) = entry.split_at(8);
            match (number(address), number(size)) {
                (Some(0), Some(0)) => return,
                (Some(address), Some(size)) => {
                    self.reserve(PhysRange::new(PhysAddr(address), size).ok_or(Wraps));
                }
                _ => {}
            }
            if self.found.reserved.is_full() {
                return self.warn(TOO_MANY_RESERVED);
            }
        }
        self.warn("the device tree's memory reservation block has no end");
    }

    fn walk(&mut self, words: &'static [u32]) -> Result<(), fdt::FdtError> {
        let root = Fdt::new_fallible(words)?.root()?;
        let properties = Properties::read(root.as_node())?;
        self.enter(0, Bus { cells: properties.cells(), kind: BusKind::Plain });
        for entry in root.all_nodes()? {
            let (depth, node) = entry?;
            self.visit(depth, node)?;
        }
        Ok(())
    }

    fn enter(&mut self, depth: usize, bus: Bus) {
        if let Some(place) = self.buses.get_mut(depth) {
            *place = bus;
        }
    }

    fn visit(&mut self, depth: usize, node: Node) -> Result<(), fdt::FdtError> {
        let parent = depth.checked_sub(1).and_then(|parent| self.buses.get(parent)).copied();
        let Some(parent) = parent.filter(|parent| parent.kind != BusKind::Opaque) else {
            self.enter(depth, Bus { cells: CellSizes::DEFAULT, kind: BusKind::Opaque });
            return Ok(());
        };
        let name = node.name()?;
        let top = depth == 1;
        if top && name.name == "chosen" {
            self.read_chosen(node)?;
        }
        let properties = Properties::read(node)?;
        let kind = match properties.ranges {
            _ if properties.disabled => BusKind::Opaque,
            Some(b"") if top && name.name == "reserved-memory" => BusKind::ReservedMemory,
            Some(b"") => BusKind::Plain,
            _ => BusKind::Opaque,
        };
        self.enter(depth, Bus { cells: properties.cells(), kind });
        if properties.disabled {
            return Ok(());
        }
        let Some(reg) = Reg::new(properties.reg, parent.cells) else {
            return Ok(());
        };
        if parent.kind == BusKind::ReservedMemory {
            reg.for_each(|range| self.reserve(range));
        } else if top && properties.is_memory {
            reg.for_each(|range| self.add_memory(range));
        } else {
            self.device(name, &properties, reg);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Discovered, FdtError> {
        if self.found.memory.is_empty() {
            return Err(FdtError::NoMemory);
        }
        let console = self.uarts.iter().find(|(name, _)| names(self.stdout, name));
        self.found.uart = console.or(self.uarts.first()).map(|(_, uart)| *uart);
        Ok(self.found)
    }
}

const TOO_MANY_RESERVED: &str = "more than 32 reserved memory ranges; the others may be used";
const BAD_RANGE: &str = "a memory range passes the end of the address space; left out";

impl Survey {
    fn reserve(&mut self, range: Result<PhysRange, Wraps>) {
        match range {
            Err(Wraps) => self.warn(BAD_RANGE),
            Ok(range) if range.is_empty() => {}
            Ok(range) => {
                if self.found.reserved.push(range).is_err() {
                    self.warn(TOO_MANY_RESERVED);
                }
            }
        }
    }

    fn add_memory(&mut self, range: Result<PhysRange, Wraps>) {
        match range {
            Err(Wraps) => self.warn(BAD_RANGE),
            Ok(range) if range.is_empty() => {}
            Ok(range) if self.found.memory.iter().any(|known| known.overlaps(range)) => {
                self.warn("two memory ranges overlap; the second is left out");
            }
            Ok(range) => {
                if self.found.memory.push(range).is_err() {
                    self.warn("more than 32 memory ranges; the others are left out");
                }
            }
        }
    }

    fn read_chosen(&mut self, node: Node) -> Result<(), fdt::FdtError> {
        let (mut start, mut end, mut weak_seed) = (None, None, None);
        for property in node.properties()? {
            let property = property?;
            let value = property.value;
            match property.name {
                "bootargs" => self.set_command_line(value),
                "stdout-path" => {
                    self.stdout = value.split(|&byte| matches!(byte, 0 | b':')).next().unwrap_or(b"");
                }
                "linux,initrd-start" => start = number(value),
                "linux,initrd-end" => end = number(value),
                "rng-seed" => self.set_seed(value),
                "kaslr-seed" => weak_seed = Some(value),
                _ => {}
            }
        }
        if let (true, Some(seed)) = (self.found.seed.is_empty(), weak_seed) {
            self.set_seed(seed);
        }
        if let (Some(start), Some(end)) = (start, end) {
            let range = PhysRange::between(PhysAddr(start), PhysAddr(end));
            self.found.initrd = (!range.is_empty()).then_some(range);
        }
        Ok(())
    }

    fn set_seed(&mut self, value: &[u8]) {
        self.found.seed = value.iter().copied().take(self.found.seed.capacity()).collect();
    }

    fn set_command_line(&mut self, value: &'static [u8]) {
        let text = value.split(|&byte| byte == 0).next().unwrap_or(b"");
        self.found.command_line = match str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                self.warn("the boot arguments are not UTF-8; cut off at the first bad byte");
                let valid = text.get(..error.valid_up_to()).unwrap_or(b"");
                str::from_utf8(valid).unwrap_or("")
            }
        };
    }

    /// Records the device, if it is one of those that are known.
    fn device(&mut self, name: NodeName<'static>, node: &Properties, mut reg: Reg<'static>) {
        let first = reg.next().and_then(Result::ok).filter(|range| !range.is_empty());
        let line = || interrupt(node.interrupts, 0);
        for compatible in strings(node.compatible) {
            match compatible {
                b"virtio,mmio" => self.add_virtio(first, line()),
                b"arm,pl011" => self.add_uart(name, first, line()),
                b"arm,pl031" => self.found.rtc = self.found.rtc.or(first),
                b"arm,cortex-a15-gic" | b"arm,cortex-a7-gic" | b"arm,gic-400" => {
                    self.add_gic(node, first, reg.next(), |distributor, cpu_interface| Gic::V2 {
                        distributor,
                        cpu_interface,
                    });
                }
                b"arm,gic-v3" => {
                    self.add_gic(node, first, reg.next(), |distributor, redistributor| Gic::V3 {
                        distributor,
                        redistributor,
                    });
                }
                // Secure, non-secure, virtual, hypervisor: Linux' binding arm,arch_timer.
                b"arm,armv8-timer" | b"arm,armv7-timer" => {
                    self.found.virtual_timer = interrupt(node.interrupts, 2);
                }
                b"arm,psci-1.0" | b"arm,psci-0.2" => self.set_conduit(node.method),
                b"xen,xen" => {
                    self.found.hypervisor = Hypervisor::Xen;
                    self.found.xen_grant_region = first;
                    self.found.xen_event = line();
                }
                _ => continue,
            }
            return;
        }
    }

    fn add_virtio(&mut self, registers: Option<PhysRange>, line: Option<TimerIrq>) {
        let (Some(registers), Some(TimerIrq { irq, trigger })) = (registers, line) else {
            return self.warn("a virtio-mmio slot without registers or interrupt; left out");
        };
        if self.found.virtio.push((VirtioMmio { registers, irq }, trigger)).is_err() {
            self.warn("more than 32 virtio-mmio slots; the others are left out");
        }
    }

    fn add_uart(
        &mut self,
        name: NodeName<'static>,
        registers: Option<PhysRange>,
        line: Option<TimerIrq>,
    ) {
        let Some(registers) = registers else {
            return self.warn("a UART without registers; left out");
        };
        let irq: Option<Irq> = line.map(|line| line.irq);
        let _ = self.uarts.push((name, Uart { kind: UartKind::Pl011(registers.start()), irq }));
    }

    fn add_gic(
        &mut self,
        node: &Properties,
        first: Option<PhysRange>,
        second: Option<Result<PhysRange, Wraps>>,
        make: impl FnOnce(PhysRange, PhysRange) -> Gic,
    ) {
        match (first, second) {
            (Some(first), Some(Ok(second))) if node.interrupt_cells == Some(3) => {
                self.found.gic = self.found.gic.or(Some(make(first, second)));
            }
            _ => self.warn("an interrupt controller with an unknown layout; left out"),
        }
    }

    fn set_conduit(&mut self, method: &[u8]) {
        self.found.psci = match method {
            b"hvc\0" => Some(Conduit::Hvc),
            b"smc\0" => Some(Conduit::Smc),
            _ => return self.warn("PSCI with an unknown calling method; left out"),
        };
    }
}

/// Whether the last component of `path` is the name of a node.
fn names(path: &[u8], node: &NodeName<'_>) -> bool {
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let mut parts = last.splitn(2, |&byte| byte == b'@');
    parts.next() == Some(node.name.as_bytes())
        && parts.next() == node.unit_address.map(str::as_bytes)
}
