//! What the nodes mean.

use heapless::Vec;

use super::{
    Conduit, Discovered, FdtError, Gic, TimerIrq,
    blocks::Blocks,
    names::{Name, Properties},
    nodes::{MAX_DEPTH, Node, Nodes},
    values::{CellSizes, Reg, Wraps, interrupt, number, strings},
};
use crate::{PhysAddr, PhysRange, Uart, UartKind, VirtioMmio};

const TOO_MANY_RESERVED: &str = "more than 32 reserved memory ranges; the others may be used";
const BAD_RANGE: &str = "a memory range passes the end of the address space; left out";

/// Bytes in a register of a UART or a clock, which are accessed at once.
const WORD: u64 = 4;

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

/// A walk over a tree.
pub(super) struct Survey<'a> {
    found: &'a mut Discovered,
    /// By depth: the node that the walk is in, as the bus of its children.
    buses: [Bus; MAX_DEPTH],
    /// `stdout-path`, without options.
    stdout: &'static [u8],
    uarts: Vec<(&'static [u8], Uart), 4>,
}

impl Survey<'_> {
    /// Walks the whole tree.
    pub fn run(tree: &Blocks, found: &mut Discovered) -> Result<(), FdtError> {
        let bus = Bus { cells: CellSizes::DEFAULT, kind: BusKind::Opaque };
        let mut survey = Survey { found, buses: [bus; MAX_DEPTH], stdout: b"", uarts: Vec::new() };
        survey.read_reservations(tree.reservations);
        let (mut nodes, mut node) = (Nodes::new(tree), Node::default());
        while nodes.next(&mut node)? {
            survey.visit(&node);
        }
        survey.finish()
    }

    /// Notes something that was left out, once; when the list is full, no more.
    fn warn(&mut self, warning: &'static str) {
        if !self.found.warnings.contains(&warning) {
            let _ = self.found.warnings.push(warning);
        }
    }

    fn visit(&mut self, node: &Node) {
        let properties = &node.properties;
        let parent = match node.depth.checked_sub(1).and_then(|above| self.buses.get(above)) {
            Some(bus) => *bus,
            None => Bus { cells: CellSizes::DEFAULT, kind: BusKind::Plain },
        };
        let bus = child_bus(node, parent);
        if let Some(place) = self.buses.get_mut(node.depth) {
            *place = bus;
        }
        if parent.kind == BusKind::Opaque || is_disabled(properties) {
            return;
        }
        if node.depth == 1 && node.name == b"chosen" {
            return self.read_chosen(properties);
        }
        let reg = Reg::new(properties.get(Name::Reg), parent.cells);
        if parent.kind == BusKind::ReservedMemory {
            reg.for_each(|range| self.reserve(range));
        } else if node.depth == 1 && properties.get(Name::DeviceType) == b"memory\0" {
            reg.for_each(|range| self.add_memory(range));
        } else {
            self.device(node.name, properties, reg);
        }
    }

    fn finish(self) -> Result<(), FdtError> {
        if self.found.memory.is_empty() {
            return Err(FdtError::NoMemory);
        }
        let named = self.stdout.rsplit(|&byte| byte == b'/').next();
        let console = self.uarts.iter().find(|(name, _)| Some(*name) == named);
        self.found.uart = console.or(self.uarts.first()).map(|(_, uart)| *uart);
        Ok(())
    }
}

/// What `node`, whose parent is `parent`, means to its children.
fn child_bus(node: &Node, parent: Bus) -> Bus {
    let properties = &node.properties;
    let cells = |value, default| number(value).unwrap_or(default);
    let cells = CellSizes {
        address: cells(properties.get(Name::AddressCells), CellSizes::DEFAULT.address),
        size: cells(properties.get(Name::SizeCells), CellSizes::DEFAULT.size),
    };
    // A bus with an empty `ranges` shares its parent's address space; no other is understood.
    let shares = node.depth == 0 || properties.find(Name::Ranges) == Some(b"");
    let kind = if parent.kind == BusKind::Opaque || !shares || is_disabled(properties) {
        BusKind::Opaque
    } else if node.depth == 1 && node.name == b"reserved-memory" {
        BusKind::ReservedMemory
    } else {
        BusKind::Plain
    };
    Bus { cells, kind }
}

fn is_disabled(properties: &Properties) -> bool {
    !matches!(properties.get(Name::Status), b"" | b"okay\0" | b"ok\0")
}

/// Memory and `/chosen`.
impl Survey<'_> {
    /// The memory reservation block: pairs of address and size, ended by a pair of zeros.
    fn read_reservations(&mut self, block: &[u8]) {
        for entry in block.chunks_exact(16) {
            let (address, size) = entry.split_at(8);
            let (address, size) = (number(address).unwrap_or(0), number(size).unwrap_or(0));
            if (address, size) == (0, 0) {
                return;
            }
            if self.found.reserved.is_full() {
                return self.warn(TOO_MANY_RESERVED);
            }
            self.reserve(PhysRange::new(PhysAddr(address), size).ok_or(Wraps));
        }
        self.warn("the device tree's memory reservation block has no end");
    }

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

    fn read_chosen(&mut self, chosen: &Properties) {
        self.stdout = first_of(chosen.get(Name::StdoutPath), b":\0");
        self.set_command_line(first_of(chosen.get(Name::BootArguments), b"\0"));
        let seed = if chosen.get(Name::RngSeed).is_empty() {
            chosen.get(Name::KaslrSeed)
        } else {
            chosen.get(Name::RngSeed)
        };
        self.found.seed = seed.iter().copied().take(self.found.seed.capacity()).collect();
        if let (Some(start), Some(end)) =
            (number(chosen.get(Name::InitrdStart)), number(chosen.get(Name::InitrdEnd)))
        {
            let range = PhysRange::between(PhysAddr(start), PhysAddr(end));
            self.found.initrd = (!range.is_empty()).then_some(range);
        }
    }

    fn set_command_line(&mut self, text: &'static [u8]) {
        self.found.command_line = str::from_utf8(text).unwrap_or_else(|error| {
            self.warn("the boot arguments are not UTF-8; cut off at the first bad byte");
            let valid = text.get(..error.valid_up_to()).unwrap_or(b"");
            str::from_utf8(valid).unwrap_or("")
        });
    }
}

/// `value` up to the first byte that is one of `ends`.
fn first_of(value: &'static [u8], ends: &[u8]) -> &'static [u8] {
    value.split(|byte| ends.contains(byte)).next().unwrap_or(b"")
}

/// Devices.
impl Survey<'_> {
    /// Records the device, if it is one of those that are known.
    fn device(&mut self, name: &'static [u8], node: &Properties, mut reg: Reg<'static>) {
        let mut range = || reg.next().and_then(Result::ok).filter(|range| !range.is_empty());
        let line = || interrupt(node.get(Name::Interrupts), 0);
        for compatible in strings(node.get(Name::Compatible)) {
            match compatible {
                b"virtio,mmio" => self.add_virtio(range(), line()),
                b"arm,pl011" => self.add_uart(name, UartKind::Pl011, range(), line()),
                b"arm,sbsa-uart" => self.add_uart(name, UartKind::Sbsa, range(), line()),
                b"arm,pl031" => self.add_rtc(range()),
                b"arm,cortex-a15-gic" | b"arm,cortex-a7-gic" | b"arm,gic-400" => {
                    let gic = range().zip(range());
                    self.add_gic(
                        node,
                        gic.map(|(distributor, cpu_interface)| Gic::V2 {
                            distributor,
                            cpu_interface,
                        }),
                    );
                }
                b"arm,gic-v3" => {
                    let gic = range().zip(range());
                    self.add_gic(
                        node,
                        gic.map(|(distributor, redistributor)| Gic::V3 {
                            distributor,
                            redistributor,
                        }),
                    );
                }
                // Secure, non-secure, virtual, hypervisor: Linux' binding arm,arch_timer.
                b"arm,armv8-timer" | b"arm,armv7-timer" => {
                    self.found.virtual_timer = interrupt(node.get(Name::Interrupts), 2);
                    self.found.timer_frequency = number(node.get(Name::ClockFrequency))
                        .and_then(|frequency| u32::try_from(frequency).ok())
                        .filter(|&frequency| frequency != 0);
                }
                b"arm,psci-1.0" | b"arm,psci-0.2" => self.set_conduit(node.get(Name::Method)),
                b"xen,xen" => {
                    self.found.hypervisor = crate::Hypervisor::Xen;
                    self.found.xen_grant_region = self.pages(range());
                    self.found.xen_event = line();
                }
                _ => continue,
            }
            return;
        }
    }

    fn add_virtio(&mut self, registers: Option<PhysRange>, line: Option<TimerIrq>) {
        let Some((registers, TimerIrq { irq, trigger })) = registers.zip(line) else {
            return self.warn("a virtio-mmio slot without registers or interrupt; left out");
        };
        if self.found.virtio.push((VirtioMmio { registers, irq }, trigger)).is_err() {
            self.warn("more than 32 virtio-mmio slots; the others are left out");
        }
    }

    fn add_uart(
        &mut self,
        name: &'static [u8],
        kind: fn(PhysAddr) -> UartKind,
        registers: Option<PhysRange>,
        line: Option<TimerIrq>,
    ) {
        let Some(registers) = registers.filter(|range| range.start().0.is_multiple_of(WORD)) else {
            return self.warn("a UART without registers, or with misaligned ones; left out");
        };
        let uart = Uart { kind: kind(registers.start()), irq: line.map(|line| line.irq) };
        let _ = self.uarts.push((name, uart));
    }

    fn add_rtc(&mut self, registers: Option<PhysRange>) {
        let has_a_word =
            |range: &PhysRange| range.start().0.is_multiple_of(WORD) && range.size() >= WORD;
        match registers.filter(has_a_word) {
            None => self.warn("a clock without registers, or with misaligned ones; left out"),
            registers => self.found.rtc = self.found.rtc.or(registers),
        }
    }

    /// The region of Xen, which has whole pages.
    fn pages(&mut self, region: Option<PhysRange>) -> Option<PhysRange> {
        let pages = region.filter(|range| range.start() == range.start().frame_start());
        if pages != region {
            self.warn("Xen's region does not begin with a page; left out");
        }
        pages
    }

    fn add_gic(&mut self, node: &Properties, gic: Option<Gic>) {
        match gic {
            Some(gic) if number(node.get(Name::InterruptCells)) == Some(3) => {
                self.found.gic = self.found.gic.or(Some(gic));
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
