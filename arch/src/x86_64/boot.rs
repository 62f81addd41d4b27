//! From the first Rust function to the kernel's `start`.

use core::{arch::global_asm, cell::UnsafeCell, mem::MaybeUninit, slice, str};

use heapless::Vec;

use super::{
    clock,
    console::{self, print_line},
    cpuid, exceptions, hypercall, image, interrupts, mmu, pci, power,
};
use crate::{
    BootInfo, Device, Hypervisor, Irq, MAX_DEVICES, PciHost, PhysAddr, PhysRange, Uart, UartKind,
    VirtioMmio, Xen,
    kernel_entry::upcall,
    start_info::{self, StartInfo, acpi, virtio_mmio},
    xen,
};

global_asm!(include_str!("boot.S"), start = sym start, options(att_syntax));
global_asm!(
    include_str!("vectors.S"),
    exception = sym exceptions::on_exception,
    interrupt = sym interrupts::on_interrupt,
    options(att_syntax),
);

type Devices = Vec<Device, MAX_DEVICES>;

/// Exit status of a guest that cannot start.
const EXIT_STATUS: u8 = 1;

/// COM1's line on every PC.
const COM1_IRQ: Irq = Irq(4);

/// Above what libxl gives a PVH guest as RAM and the ACPI tables, below its special pages and the
/// local APIC (tools/libs/light/libxl_x86.c, xen/include/xenguest.h).
const XEN_WINDOW: PhysRange = PhysRange::between(PhysAddr(0xfd00_0000), PhysAddr(0xfe00_0000));

/// In `HVM_PARAM_CALLBACK_IRQ`: the rest is a vector (xen/include/public/hvm/params.h).
const CALLBACK_IS_VECTOR: u64 = 2 << 56;

/// The one [`BootInfo`], which the kernel keeps.
struct Slot(UnsafeCell<MaybeUninit<BootInfo>>);

// SAFETY: `start` writes it before it hands out the only, shared, reference.
unsafe impl Sync for Slot {}

static BOOT_INFO: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));

/// Where `boot.S` jumps to: on the main stack, interrupts off, exceptions caught, image mapped.
/// `address` is that of start_info.
extern "C" fn start(address: u32) -> ! {
    let memory = mmu::Unmapped { limit: mmu::memory_limit() };
    let mut info =
        match start_info::parse(&memory, PhysAddr(address.into()), image::frames(), memory.limit) {
            Ok(info) => info,
            Err(error) => stop(&error),
        };
    if !mmu::init(&mut info) {
        stop(&"too little memory for the page tables; give the guest more memory");
    }
    let command_line = text(info.command_line);
    power::configure(command_line);
    let (hypervisor, leaves) = cpuid::hypervisor();
    let devices = if hypervisor == Hypervisor::Xen {
        find_xen()
    } else {
        find_devices(command_line, &mut info)
    };
    if let Err(error) = interrupts::init(hypervisor, &devices) {
        stop(&format_args!("the interrupt controllers cannot be mapped: {error}"));
    }
    clock::init(hypervisor, leaves);

    // SAFETY: this function runs once, before anything else has a reference to the slot.
    let boot_info = unsafe { &mut *BOOT_INFO.0.get() }.write(BootInfo {
        memory: info.memory,
        memory_total: info.memory_total,
        command_line,
        initrd: info.module.map(bytes),
        seed: Vec::new(),
        hypervisor,
        devices,
        warnings: info.warnings,
    });
    upcall::start(boot_info)
}

/// Says why the guest cannot start, and ends it.
fn stop(why: &dyn core::fmt::Display) -> ! {
    print_line!("mayfly: {why}");
    power::crash(EXIT_STATUS)
}

/// Memory that `mmu::init` has mapped read-only.
fn bytes(range: PhysRange) -> &'static [u8] {
    if range.is_empty() {
        return &[];
    }
    let start = mmu::phys_to_virt(range.start());
    // SAFETY: command line and module are mapped read-only for good, at one place, and no frame of
    // them is given to anyone else, so that nothing changes them. `range` is not empty, and is below
    // the limit that `start` gave to `parse`.
    unsafe { slice::from_raw_parts(start.as_ptr(), range.size() as usize) }
}

/// As much of the command line as is UTF-8.
fn text(range: PhysRange) -> &'static str {
    let bytes = bytes(range);
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
    }
}

/// What a PVH guest of Xen has: Xen, and nothing else.
fn find_xen() -> Devices {
    hypercall::init();
    xen::found();
    [Device::Xen(Xen {
        upcall: interrupts::XEN_UPCALL,
        callback: Some(CALLBACK_IS_VECTOR | u64::from(interrupts::XEN)),
        window: XEN_WINDOW,
        // `struct shared_info`, for a 64-bit guest (xen/include/public/xen.h).
        pending: 0x800,
        mask: 0xa00,
        wall_clock: 0xc00,
    })]
    .into_iter()
    .collect()
}

/// What a driver may be started for.
fn find_devices(command_line: &str, info: &mut StartInfo) -> Devices {
    let mut devices = Devices::new();
    if console::is_present() {
        let kind = UartKind::Port16550(console::COM1);
        // The first two of many that fit.
        let _ = devices.push(Device::Uart(Uart { kind, irq: Some(COM1_IRQ) }));
    }
    let has_pci = pci::is_present();
    if has_pci {
        let _ = devices.push(Device::PciHost(PciHost::Ports));
    }
    let mut add = |transport: Result<VirtioMmio, &'static str>| {
        let added = transport.and_then(|transport| {
            devices
                .push(Device::VirtioMmio(transport))
                .map_err(|_| "too many devices; the last are left out")
        });
        if let Err(text) = added {
            // The first eight warnings will do.
            let _ = info.warnings.push(text);
        }
    };
    virtio_mmio::on_command_line(command_line).for_each(&mut add);
    if !has_pci {
        read_acpi(info.rsdp, |transport| add(Ok(transport)));
    }
    devices
}

/// Reads the ACPI tables of a machine without PCI.
fn read_acpi(root: PhysAddr, mut add: impl FnMut(VirtioMmio)) {
    let memory = mmu::Unmapped { limit: mmu::memory_limit() };
    if root == PhysAddr(0) {
        return;
    }
    let Some(tables) = acpi::Tables::find(&memory, root) else { return };
    let mut power_off = None;
    tables.scan(&memory, |found| match found {
        acpi::Found::Transport(transport) => add(transport),
        acpi::Found::PowerOff(value) => power_off = Some(value),
    });
    power::use_registers(tables.sleep_control.zip(power_off), tables.reset);
}
