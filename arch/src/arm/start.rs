//! From boot assembly to the kernel: reads the device tree, maps memory, sets up the machine.

use core::{
    cell::UnsafeCell,
    fmt::{self, Write},
    mem::MaybeUninit,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use heapless::Vec;

use super::{
    boot_error::BootError,
    clock, console, interrupts, mmu,
    power::{self, Polled},
    ram::{self, Occupied},
};
use crate::{
    BootInfo, Device, Hypervisor, Irq, PhysAddr, PhysRange, Uart, UartKind, Xen,
    fdt::{self, Discovered, Trigger},
    image,
    kernel_entry::upcall,
    xen,
};

/// Exit status of a guest that could not boot.
const CANNOT_BOOT: u8 = 125;
/// The virtual timer's line where the tree does not say: PPI 11 on every machine there is.
const USUAL_TIMER: Irq = Irq(27);

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
    // SAFETY: the only call of `start` is the only one that touches `INFO`. Filled in where it
    // stays, because it is large.
    let info = unsafe { (*INFO.0.get()).write(nothing_found()) };
    if let Err(error) = bring_up(entry, info) {
        cannot_boot(&error);
    }
    STARTED.store(true, Ordering::Relaxed);
    upcall::start(info)
}

fn nothing_found() -> BootInfo {
    BootInfo {
        memory: Vec::new(),
        memory_total: 0,
        command_line: "",
        initrd: None,
        seed: Vec::new(),
        hypervisor: Hypervisor::Unknown,
        devices: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Says on the console why there is no way on, and stops.
pub(crate) fn cannot_boot(reason: &dyn fmt::Display) -> ! {
    let _ = writeln!(Polled, "mayfly: cannot boot: {reason}");
    power::crash(CANNOT_BOOT)
}

fn bring_up(entry: &Entry, info: &mut BootInfo) -> Result<(), BootError> {
    // Before the tree is mapped: what maps it counts as well.
    let tables = mmu::tables_left();
    let image = PhysRange::new(entry.image, image::all().len() as u64)
        .ok_or(BootError::ImageOutsideMemory)?;
    let (bytes, tree_room) = ram::map_tree(entry.tree, image)?;
    let result = fdt::discover(bytes);
    let found = result.as_ref().map_err(|error| *error)?;
    // SAFETY: what was found in the tree, such as the boot arguments, lies in the part that is
    // used, and `bytes` itself is not looked at again.
    let tree = unsafe { ram::trim_tree(tree_room, fdt::used_size(bytes)) };
    mmu::set_memory(&found.memory);
    console::use_uart(found.uart.as_ref().and_then(registers_of));
    info.memory_total = found.memory.iter().map(|range| range.size()).sum();
    info.command_line = found.command_line;
    info.seed.clone_from(&found.seed);
    info.hypervisor = found.hypervisor;
    info.warnings.clone_from(&found.warnings);
    power::configure(found.command_line);
    if found.psci.is_some() {
        power::use_conduit(found.psci);
    } else {
        warn(info, "the device tree names no PSCI: the guest cannot switch itself off");
    }
    let guards = image::guards().map(|guard| within(image, &guard));
    ram::map_memory(&Occupied { image, guards, tree, tree_room, tables }, found, info)?;
    if info.memory.iter().all(|range| range.is_empty()) {
        return Err(BootError::NoMemory);
    }
    start_devices(found, info)
}

/// Where the registers of a UART are that polled output can use.
fn registers_of(uart: &Uart) -> Option<PhysAddr> {
    match uart.kind {
        UartKind::Pl011(base) | UartKind::Sbsa(base) => Some(base),
        _ => None,
    }
}

/// Where a part of the image is that was loaded at `image`.
fn within(image: PhysRange, part: &Range<usize>) -> PhysRange {
    let start = image::all().start;
    let place = |address: usize| PhysAddr(image.start().0 + (address - start) as u64);
    PhysRange::between(place(part.start), place(part.end))
}

/// Interrupt controller and timer, and the list of what drivers may look at.
fn start_devices(found: &Discovered, info: &mut BootInfo) -> Result<(), BootError> {
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
    if !clock::use_frequency(found.timer_frequency) {
        return Err(BootError::NoFrequency);
    }
    clock::set_deadline(None);
    interrupts::use_timer(timer.0);
    if let Some(uart) = found.uart {
        let _ = info.devices.push(Device::Uart(uart));
    }
    add_xen(found, info);
    if let Some(rtc) = found.rtc {
        clock::use_rtc(rtc);
    }
    Ok(())
}

/// Xen, if the tree names it.
fn add_xen(found: &Discovered, info: &mut BootInfo) {
    if found.hypervisor != Hypervisor::Xen {
        return;
    }
    xen::found();
    let Some((window, event)) = found.xen_grant_region.zip(found.xen_event) else {
        return warn(info, "the device tree names Xen without region or interrupt: no Xen devices");
    };
    interrupts::set_trigger(event.irq, event.trigger);
    // `struct shared_info` on ARM (xen/include/public/xen.h, arch-arm.h).
    let (pending, mask, wall_clock) = (0x30, 0x230, 0x430);
    let upcall = event.irq;
    let xen = Xen { upcall, callback: None, window, pending, mask, wall_clock };
    let _ = info.devices.push(Device::Xen(xen));
}

/// Keeps a warning for the log, as long as there is room.
pub(super) fn warn(info: &mut BootInfo, text: &'static str) {
    let _ = info.warnings.push(text);
}
