//! The interrupt controller: GICv2 or GICv3, through the `arm-gic` crate.
//!
//! Lines are configured when a driver enables them, so that boot does not touch hundreds of
//! registers, each of which is a trap into the hypervisor.

use core::{fmt, ops::Range, ptr::NonNull};

use arm_gic::{
    IntId, InterruptGroup, Trigger, UniqueMmioPointer,
    gicv2::{self, GicV2},
    gicv3::{
        GicCpuInterface, GicDistributor, GicRedistributor, Group, HIGHEST_NS_PRIORITY,
        registers::{Gicd, GicrSgi, GicrTyper, Pidr2},
    },
};
use safe_mmio::{
    SharedMmioPointer, field, field_shared,
    fields::{ReadPure, ReadPureWrite},
};
use zerocopy::transmute;

use super::{
    acknowledged,
    mmu::{self, MapError},
};
use crate::{Irq, PAGE_SIZE, PhysAddr, PhysRange, fdt::Gic, machine::registers};

/// Why the interrupt controller of the device tree cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicError {
    /// Its registers cannot be mapped.
    Unmappable(MapError),
    /// The tree has a GICv3, but the processor has no system registers for it.
    NoSystemRegisters,
    /// None of the redistributors belongs to this CPU.
    NoRedistributor,
    /// Where the tree has it there is something else, or nothing.
    NotThere,
}

impl fmt::Display for GicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmappable(error) => write!(f, "interrupt controller: {error}"),
            Self::NoSystemRegisters => f.write_str(
                "the device tree has a GICv3, but this processor cannot talk to one; \
                 give the machine a processor that fits, or a GICv2",
            ),
            Self::NoRedistributor => {
                f.write_str("no GICv3 redistributor of the device tree belongs to this CPU")
            }
            Self::NotThere => f.write_str(
                "no interrupt controller answers where the device tree has one; \
                 pass the tree of this machine",
            ),
        }
    }
}

impl From<MapError> for GicError {
    fn from(error: MapError) -> Self {
        Self::Unmappable(error)
    }
}

/// The controller, ready for lines to be enabled.
pub(crate) enum Controller {
    V2(GicV2<'static>),
    V3 {
        distributor: GicDistributor<'static>,
        routes: UniqueMmioPointer<'static, Routes>,
        redistributor: GicRedistributor<'static>,
    },
}

/// `GICD_IROUTER<n>` of the shared lines, in halves: one instruction of ARMv7 that writes both is
/// more than a hypervisor can emulate.
type Routes = [ReadPureWrite<u32>; 2 * 988];

/// Where they are in a distributor (ARM IHI 0069, 12.9.22, from line 32 on).
const ROUTES: usize = 0x6100;

impl Controller {
    /// Sets up what `gic` describes, with all lines disabled.
    ///
    /// # Errors
    /// [`GicError`]
    pub(crate) fn new(gic: &Gic) -> Result<Self, GicError> {
        match *gic {
            Gic::V2 { distributor, cpu_interface } => new_v2(distributor, cpu_interface),
            Gic::V3 { distributor, redistributor } => new_v3(distributor, redistributor),
        }
    }

    /// Enables `irq`, a private or shared line, at this CPU.
    pub(crate) fn enable(&mut self, irq: Irq, trigger: Option<Trigger>) {
        let Some(id) = line(irq) else { return };
        // The crate's errors are about ids that are not lines, and lines that cannot be enabled
        // because the controller does not have them: such an interrupt never comes.
        match self {
            Self::V2(gic) => {
                if let Some(trigger) = trigger {
                    gic.set_trigger(id, trigger);
                }
                let _ = gic.enable_interrupt(id, true);
            }
            Self::V3 { redistributor, .. } if id.is_private() => {
                let _ = redistributor.set_group(id, Group::Group1NS);
                let _ = redistributor.set_interrupt_priority(id, HIGHEST_NS_PRIORITY);
                if let Some(trigger) = trigger.filter(|_| id.is_ppi()) {
                    let _ = redistributor.set_trigger(id, trigger);
                }
                let _ = redistributor.enable_interrupt(id, true);
            }
            Self::V3 { distributor, routes, .. } => {
                let _ = distributor.set_group(id, Group::Group1NS);
                let _ = distributor.set_interrupt_priority(id, HIGHEST_NS_PRIORITY);
                if let Some(trigger) = trigger {
                    let _ = distributor.set_trigger(id, trigger);
                }
                route_here(routes, irq);
                let _ = distributor.enable_interrupt(id, true);
            }
        }
    }

    /// Disables `irq`.
    pub(crate) fn disable(&mut self, irq: Irq) {
        let Some(id) = line(irq) else { return };
        let _ = match self {
            Self::V2(gic) => gic.enable_interrupt(id, false).map_err(drop),
            Self::V3 { redistributor, .. } if id.is_private() => {
                redistributor.enable_interrupt(id, false).map_err(drop)
            }
            Self::V3 { distributor, .. } => distributor.enable_interrupt(id, false).map_err(drop),
        };
    }
}

/// An interrupt that was acknowledged. Until it is ended, no other of its priority comes.
#[derive(Clone, Copy)]
pub(crate) struct Acknowledged {
    /// What it is.
    pub irq: Irq,
    /// What the controller has said, which it is told at the end.
    id: IntId,
}

/// Takes the pending interrupt of the highest priority from a GICv3, if there is one.
pub(crate) fn acknowledge_v3() -> Option<Acknowledged> {
    let id = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1);
    registers::interrupt_acknowledged();
    let id = id?;
    acknowledged::by_v3(id.into()).map(|irq| Acknowledged { irq, id })
}

/// Ends the interrupt that [`acknowledge_v3`] returned.
pub(crate) fn end_v3(interrupt: Acknowledged) {
    GicCpuInterface::end_interrupt(interrupt.id, InterruptGroup::Group1);
}

/// As [`acknowledge_v3`], from a GICv2.
pub(crate) fn acknowledge_v2(gic: &mut GicV2<'static>) -> Option<Acknowledged> {
    let id = gic.get_and_acknowledge_interrupt(V2_GROUP)?;
    acknowledged::by_v2(id.into()).map(|irq| Acknowledged { irq, id })
}

/// Ends the interrupt that [`acknowledge_v2`] returned.
pub(crate) fn end_v2(gic: &mut GicV2<'static>, interrupt: Acknowledged) {
    gic.end_interrupt(interrupt.id, V2_GROUP);
}

/// Which acknowledge register of a GICv2 is read: the one that returns whatever interrupt this
/// security state is concerned with, be it group 0 without the security extensions or group 1.
const V2_GROUP: InterruptGroup = InterruptGroup::Group0;

/// The line with the number that the device tree gave, unless there can be none.
fn line(irq: Irq) -> Option<IntId> {
    IntId::try_from(irq.0).ok().filter(is_line)
}

/// Whether `id` is a private or shared line, and not one of the special numbers.
fn is_line(id: &IntId) -> bool {
    *id < IntId::SPECIAL_SECURE
}

fn new_v2(distributor: PhysRange, cpu_interface: PhysRange) -> Result<Controller, GicError> {
    let gicd = map_registers::<gicv2::registers::Gicd>(distributor.start())?;
    let gicc = map_registers::<gicv2::registers::Gicc>(cpu_interface.start())?;
    prepare_v2(gicd);
    // SAFETY: both are device memory, mapped for ever at the addresses that the tree names, and
    // this is the only driver: `prepare_v2` has dropped its pointer.
    let mut gic = unsafe { GicV2::new(gicd.as_ptr(), gicc.as_ptr()) };
    gic.setup();
    // To a guest in the non-secure state, bit 0 is what enables its group 1.
    gic.enable_group0(true);
    // A hole in the address space reads as zeros or ones, and some as what was written last; but
    // no distributor has all of the numbers that ones would be.
    let typer = gic.typer();
    let ones =
        typer.num_irqs() == 1024 && typer.cpu_count() == 8 && typer.lockable_spi_count() == 31;
    if ones || gic.get_priority_mask() == 0 {
        return Err(GicError::NotThere);
    }
    Ok(Controller::V2(gic))
}

/// Disables all lines, and routes the shared ones to this CPU. A GICv2 with one CPU interface has
/// nothing to route; its target registers read as zero.
fn prepare_v2(gicd: NonNull<gicv2::registers::Gicd>) {
    const FIRST_SHARED: usize = 8;
    // SAFETY: the registers are mapped device memory, and no driver exists yet.
    let mut gicd = unsafe { UniqueMmioPointer::new(gicd) };
    let lines = field_shared!(gicd, typer).read().num_irqs() as usize;
    disable_lines(field!(gicd, icenabler), 0..lines / LINES_IN_WORD);
    let words = lines / 4;
    let mut targets = field!(gicd, itargetsr);
    // SAFETY: reading a target register has no side effect; the first is this CPU's own.
    let own = targets.get(0).map_or(0, |mut first| unsafe { first.read_unsafe() });
    if own == 0 {
        return;
    }
    for index in FIRST_SHARED..words {
        if let Some(mut word) = targets.get(index) {
            // SAFETY: writing a target register of shared lines only routes them.
            unsafe { registers::write_register(word.ptr_mut().cast(), own) };
        }
    }
}

/// Lines that one of the registers has which enable and disable them.
const LINES_IN_WORD: usize = 32;

/// Disables the lines of these registers, `GICD_ICENABLER<n>` or `GICR_ICENABLER<n>`, because
/// firmware may have left some enabled (ARM IHI 0048B, 4.3.6; ARM IHI 0069, 12.9 and 12.11).
fn disable_lines<const N: usize>(
    mut registers: UniqueMmioPointer<'_, [ReadPureWrite<u32>; N]>,
    words: Range<usize>,
) {
    for index in words {
        if let Some(mut word) = registers.get(index) {
            // SAFETY: writing a clear-enable register only disables lines.
            unsafe { registers::write_register(word.ptr_mut().cast(), u32::MAX) };
        }
    }
}

/// Routes a shared line to this CPU.
fn route_here(routes: &mut UniqueMmioPointer<'static, Routes>, irq: Irq) {
    let affinity = registers::affinity();
    let halves = [affinity as u32, (affinity >> 32) as u32];
    let Some(first) = irq.0.checked_sub(32).map(|index| 2 * index as usize) else { return };
    for (index, half) in (first..).zip(halves) {
        if let Some(mut place) = routes.get(index) {
            place.write(half);
        }
    }
}

fn new_v3(distributor: PhysRange, redistributors: PhysRange) -> Result<Controller, GicError> {
    if !registers::has_gic_registers() {
        return Err(GicError::NoSystemRegisters);
    }
    let gicd = map_registers::<Gicd>(distributor.start())?;
    // SAFETY: within the registers of a distributor, all of which are mapped for ever; nobody else
    // writes these.
    let routes = unsafe { UniqueMmioPointer::new(gicd.byte_add(ROUTES).cast()) };
    // SAFETY: device memory, mapped for ever at the address that the tree names; nobody else
    // drives it.
    let mut gicd = unsafe { UniqueMmioPointer::new(gicd) };
    if !is_v3(field_shared!(gicd, pidr2).read()) {
        return Err(GicError::NotThere);
    }
    let shared = field_shared!(gicd, typer).read().num_spis() as usize;
    // The first register is that of private lines, which the redistributor has.
    disable_lines(field!(gicd, icenabler), 1..1 + shared.div_ceil(LINES_IN_WORD));
    let mut distributor = GicDistributor::new(gicd);
    let mut redistributor = find_redistributor(redistributors)?;
    GicCpuInterface::enable_system_register_el1();
    registers::synchronize();
    // An error means that it is awake already.
    let _ = redistributor.mark_core_awake();
    // Affinity routing and group 1: the bits have the same place in all security states.
    distributor.enable_affinity_routing_secure(true);
    distributor.enable_group1_non_secure(true);
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
    Ok(Controller::V3 { distributor, routes, redistributor })
}

/// The redistributor whose affinity is that of this CPU, with all lines disabled. Maps one after the
/// other, because a region has room for more CPUs than the machine has.
fn find_redistributor(region: PhysRange) -> Result<GicRedistributor<'static>, GicError> {
    let mut base = region.start();
    while base < region.end() {
        let pointer = map_registers::<GicrSgi>(base)?;
        let typer = type_of(pointer);
        // SAFETY: device memory, mapped for ever; at most one driver is made of each frame.
        let mut frames = unsafe { UniqueMmioPointer::new(pointer) };
        if !is_v3(field_shared!(field_shared!(frames, gicr), pidr2).read()) {
            return Err(GicError::NotThere);
        }
        if typer.core_mpidr() == registers::affinity() {
            let mut private = field!(frames, sgi);
            disable_lines(field!(private, icenabler), 0..1);
            return Ok(GicRedistributor::new(frames));
        }
        if typer.last_redistributor() {
            break;
        }
        // GICv4 has two more frames of 64 KiB for each CPU.
        let frames = if typer.virtual_lpis_supported() { 2 } else { 1 };
        base.0 = base.0.saturating_add(frames * size_of::<GicrSgi>() as u64);
    }
    Err(GicError::NoRedistributor)
}

/// The type register of a redistributor, in halves: one instruction of ARMv7 that reads both is more
/// than a hypervisor can emulate.
fn type_of(registers: NonNull<GicrSgi>) -> GicrTyper {
    // GICR_TYPER (ARM IHI 0069, 12.11.35).
    const TYPER: usize = 8;
    let half = |offset| {
        // SAFETY: `registers` is mapped device memory that is larger; reading changes nothing.
        let half = unsafe { UniqueMmioPointer::new(registers.byte_add(offset).cast()) };
        let half: UniqueMmioPointer<'_, ReadPure<u32>> = half;
        u64::from(SharedMmioPointer::from(half).read())
    };
    transmute!(half(TYPER) | half(TYPER + 4) << 32)
}

/// Whether an identification register is that of a GICv3 or GICv4.
fn is_v3(id: Pidr2) -> bool {
    matches!(id.arch_rev(), 3 | 4)
}

/// Maps the registers `T` at `base`.
fn map_registers<T>(base: PhysAddr) -> Result<NonNull<T>, MapError> {
    let size = size_of::<T>().next_multiple_of(PAGE_SIZE) as u64;
    let range = PhysRange::new(base, size).ok_or(MapError::BadRange)?;
    let pointer = mmu::map_device(range)?;
    if pointer.cast::<T>().is_aligned() { Ok(pointer.cast()) } else { Err(MapError::BadRange) }
}
