//! From boot assembly to the kernel: reads the device tree, maps memory, sets up the machine.

use core::{
    cell::UnsafeCell,
    fmt::{self, Write},
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, Ordering},
};

use heapless::Vec;

use super::{
    clock, console,
    descriptor::Permissions,
    gic::GicError,
    interrupts,
    memory_map::{MemoryMap, frames_of},
    mmu::{self, MapError},
    pool::Pool,
    power::{self, Polled},
    tables::tables_needed,
};
use crate::{
    BootInfo, Device, Irq, MAX_REGIONS, PAGE_SIZE, PhysAddr, PhysRange, UartKind,
    fdt::{self, Discovered, FdtError, Trigger},
    image,
    kernel_entry::upcall,
    machine::layout,
};

/// Exit status of a guest that could not boot.
const CANNOT_BOOT: u8 = 125;
/// The virtual timer's line where the tree does not say: PPI 11 on every machine there is.
const USUAL_TIMER: Irq = Irq(27);
/// Page tables kept for devices when memory takes more than the image brings.
const TABLES_FOR_DEVICES: usize = 4;
/// How much one more ragged end of a region can add to the tables needed.
const TABLES_FOR_TAKING: usize = 2;

/// What boot assembly found out.
pub(crate) struct Entry {
    /// What the loader's register says is the device tree.
    pub tree: PhysAddr,
    /// Where the loader put the image.
    pub image: PhysAddr,
    /// The counter at entry.
    pub counter: u64,
    /// How PSCI is most likely called, until the tree says so.
    pub conduit: fdt::Conduit,
}

/// Why the machine cannot be used. The text says what to do.
#[derive(Debug)]
enum BootError {
    Tree(FdtError),
    TreeUnmappable(MapError),
    NoGic,
    Gic(GicError),
    ImageOutsideMemory,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(error) => error.fmt(f),
            Self::TreeUnmappable(error) => write!(
                f,
                "the loader's register does not point to a device tree in memory ({error:?}); \
                 boot the flat image, not the ELF file"
            ),
            Self::NoGic => f.write_str("the device tree has no GICv2 or GICv3 that is usable"),
            Self::Gic(error) => error.fmt(f),
            Self::ImageOutsideMemory => f.write_str(
                "the image does not lie in the memory that the device tree lists; \
                 give the guest more memory",
            ),
        }
    }
}

impl core::error::Error for BootError {}

impl From<FdtError> for BootError {
    fn from(error: FdtError) -> Self {
        Self::Tree(error)
    }
}

/// Whether the kernel runs; before that a fault means that the tree does not fit the machine.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Whether the kernel's `start` has been called.
pub(crate) fn has_started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

/// The machine, for the kernel.
struct Info(UnsafeCell<MaybeUninit<BootInfo>>);

// SAFETY: written once by `start`, which runs once, before anybody has a reference.
unsafe impl Sync for Info {}

static INFO: Info = Info(UnsafeCell::new(MaybeUninit::uninit()));

/// Takes over from boot assembly. Runs once, with interrupts off.
///
/// # Safety
/// `entry` is true, the address space is as ARCHITECTURE.md says, and this is the only call.
pub(crate) unsafe fn start(entry: &Entry) -> ! {
    power::use_conduit(Some(entry.conduit));
    clock::init(entry.counter);
    // SAFETY: what the caller promises.
    unsafe { mmu::init(entry.image) };
    match bring_up(entry) {
        Ok(info) => {
            // SAFETY: the only call of `start` is the only one that touches `INFO`.
            let info: &'static BootInfo = unsafe { (*INFO.0.get()).write(info) };
            STARTED.store(true, Ordering::Relaxed);
            upcall::start(info)
        }
        Err(error) => cannot_boot(&error),
    }
}

/// Says on the console why there is no way on, and stops.
pub(crate) fn cannot_boot(reason: &dyn fmt::Display) -> ! {
    let _ = writeln!(Polled, "mayfly: cannot boot: {reason}");
    power::crash(CANNOT_BOOT)
}

fn bring_up(entry: &Entry) -> Result<BootInfo, BootError> {
    // Before the tree is mapped: `take_tables` counts what maps it as well.
    let tables = mmu::tables_left();
    let (tree, tree_range) = map_tree(entry.tree)?;
    let found = fdt::discover(tree)?;
    let mut info = BootInfo {
        memory: Vec::new(),
        memory_total: found.memory.iter().map(|range| range.size()).sum(),
        command_line: found.command_line,
        initrd: None,
        seed: found.seed.clone(),
        hypervisor: found.hypervisor,
        devices: Vec::new(),
        warnings: found.warnings.clone(),
    };
    power::configure(found.command_line);
    if found.psci.is_some() {
        power::use_conduit(found.psci);
    } else {
        warn(&mut info, "the device tree names no PSCI: the guest cannot switch itself off");
    }
    let image = PhysRange::new(entry.image, image::all().len() as u64)
        .filter(|image| found.memory.iter().any(|ram| contains(*ram, *image)))
        .ok_or(BootError::ImageOutsideMemory)?;
    map_memory(&Occupied { image, tree: tree_range, tables }, &found, &mut info);
    start_devices(&found, &mut info)?;
    Ok(info)
}

/// Maps the tree read-only where the direct map would show it.
fn map_tree(start: PhysAddr) -> Result<(&'static [u8], PhysRange), BootError> {
    const HEADER: u64 = 8;
    let header = PhysRange::new(start, HEADER).ok_or(FdtError::NotATree)?;
    if start.0 == 0 {
        return Err(FdtError::NotATree.into());
    }
    let first = frames_of(header);
    mmu::map_direct(first, Permissions::ReadOnly).map_err(BootError::TreeUnmappable)?;
    let pointer = mmu::phys_to_virt(start);
    // SAFETY: the range is mapped, read-only and for ever; nothing else uses its frames, because
    // `map_memory` takes them out of the RAM that is given away. Any bytes are valid.
    let header = unsafe { pointer.cast::<[u8; HEADER as usize]>().as_ref() };
    let size = fdt::total_size(header)?;
    let range = PhysRange::new(start, size as u64).ok_or(FdtError::BadSize)?;
    let rest = PhysRange::between(first.end(), frames_of(range).end());
    if !rest.is_empty() {
        mmu::map_direct(rest, Permissions::ReadOnly).map_err(BootError::TreeUnmappable)?;
    }
    // SAFETY: as above, for all of the range.
    let tree = unsafe { core::slice::from_raw_parts(pointer.as_ptr(), size) };
    Ok((tree, range))
}

/// What lies in memory already.
struct Occupied {
    image: PhysRange,
    tree: PhysRange,
    /// Page tables that the image brought for mapping RAM, the tree and devices.
    tables: usize,
}

/// Gives all RAM to the direct map that nothing else occupies.
fn map_memory(occupied: &Occupied, found: &Discovered, info: &mut BootInfo) {
    mmu::set_memory(&found.memory);
    let initrd = found.initrd.and_then(|range| check_initrd(range, occupied.image, found, info));
    let limit = layout::DIRECT.end();
    if found.memory.iter().any(|range| range.end() > limit) {
        warn(info, "memory beyond the direct map's end is left unused");
    }
    let mut map = MemoryMap::new(&found.memory, limit);
    for hole in [occupied.image, occupied.tree].iter().chain(&initrd).chain(&found.reserved) {
        map.remove(*hole);
    }
    take_tables(&mut map, occupied, initrd, info);
    if map.dropped {
        warn(info, "memory has more than 32 regions: the smallest are left unused");
    }
    for region in &map.regions {
        if mmu::map_direct(*region, Permissions::ReadWrite).is_ok() {
            let _ = info.memory.push(*region);
        } else {
            warn(info, "no page table left for a region of memory: it is left unused");
        }
    }
    info.initrd = initrd.and_then(|range| map_initrd(range, occupied.tree));
    if initrd.is_some() && info.initrd.is_none() {
        warn(info, "the initrd cannot be mapped: it is left out");
    }
}

/// The initrd, if it lies in memory and the image's BSS has not overwritten it.
fn check_initrd(
    range: PhysRange,
    image: PhysRange,
    found: &Discovered,
    info: &mut BootInfo,
) -> Option<PhysRange> {
    if range.overlaps(image) {
        warn(info, "the initrd lies where the image's variables are: give the guest more memory");
        return None;
    }
    if range.is_empty() || !found.memory.iter().any(|ram| contains(*ram, range)) {
        warn(info, "the initrd does not lie in memory: it is left out");
        return None;
    }
    Some(range)
}

/// Maps the initrd read-only where the direct map would show it. It may share a frame with the
/// tree, which is mapped already.
fn map_initrd(range: PhysRange, tree: PhysRange) -> Option<&'static [u8]> {
    let (before, after) = frames_of(range).without(frames_of(tree));
    for part in [before, after] {
        if !part.is_empty() {
            mmu::map_direct(part, Permissions::ReadOnly).ok()?;
        }
    }
    let size = usize::try_from(range.size()).ok()?;
    // SAFETY: mapped read-only and for ever; its frames are not given to anybody else. Any bytes
    // are valid.
    Some(unsafe { core::slice::from_raw_parts(mmu::phys_to_virt(range.start()).as_ptr(), size) })
}

/// Takes RAM for page tables if memory has more holes than the image has tables for.
fn take_tables(
    map: &mut MemoryMap,
    occupied: &Occupied,
    initrd: Option<PhysRange>,
    info: &mut BootInfo,
) {
    let mut ranges: Vec<PhysRange, { MAX_REGIONS + 2 }> = map.regions.iter().copied().collect();
    for range in [Some(occupied.tree), initrd].into_iter().flatten() {
        let _ = ranges.push(frames_of(range));
    }
    ranges.sort_unstable_by_key(|range| range.start());
    let needed = tables_needed(ranges.iter().copied()) + TABLES_FOR_DEVICES;
    let Some(missing) = needed.checked_sub(occupied.tables).filter(|missing| *missing > 0) else {
        return;
    };
    let more = (missing + TABLES_FOR_TAKING).min(Pool::room());
    let added =
        map.take((more * PAGE_SIZE) as u64).is_some_and(|frames| mmu::add_tables(frames).is_ok());
    if !added {
        warn(info, "memory is too small and too fragmented to map all of it");
    }
}

/// Console, interrupt controller and timer, and the list of what drivers may look at.
fn start_devices(found: &Discovered, info: &mut BootInfo) -> Result<(), BootError> {
    let pl011 = found.uart.as_ref().and_then(|uart| match uart.kind {
        UartKind::Pl011(base) => Some(base),
        _ => None,
    });
    console::use_uart(pl011);
    let gic = found.gic.as_ref().ok_or(BootError::NoGic)?;
    interrupts::init(gic).map_err(BootError::Gic)?;
    for (slot, trigger) in &found.virtio {
        interrupts::set_trigger(slot.irq, *trigger);
        let _ = info.devices.push(Device::VirtioMmio(*slot));
    }
    let timer = found
        .virtual_timer
        .map_or((USUAL_TIMER, Trigger::Level), |timer| (timer.irq, timer.trigger));
    if found.virtual_timer.is_none() {
        warn(info, "the device tree names no timer: interrupt 27 is taken for it");
    }
    interrupts::set_trigger(timer.0, timer.1);
    clock::set_deadline(None);
    interrupts::use_timer(timer.0);
    if let Some(uart) = found.uart {
        let _ = info.devices.push(Device::Uart(uart));
    }
    if let Some(rtc) = found.rtc {
        clock::use_rtc(rtc);
    }
    Ok(())
}

fn contains(outer: PhysRange, inner: PhysRange) -> bool {
    outer.start() <= inner.start() && inner.end() <= outer.end()
}

/// Keeps a warning for the log, as long as there is room.
fn warn(info: &mut BootInfo, text: &'static str) {
    let _ = info.warnings.push(text);
}
