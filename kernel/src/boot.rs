//! From the architecture's hands to the app's `main`. Reads top to bottom.

use core::mem;

use mayfly_arch::{BootInfo, mmu, power};

use crate::{
    chart, config,
    devices::{self, Devices},
    interrupts, launch, log,
    machine::Machine,
    memory, random, report,
};

mayfly_arch::kernel_entry! {
    start: start,
    interrupt: interrupts::dispatch,
    fault: report::fault,
}

unsafe extern "Rust" {
    /// The app's `main`, as `#[mayfly::main]` wraps it.
    safe fn __mayfly_main(machine: Machine) -> launch::MainFuture;
}

/// Starts the kernel on what discovery found, then the app, and ends with the app's status.
fn start(info: &'static BootInfo) -> ! {
    chart::mark("discovery");
    let system = config::System::parse(info.command_line);
    power::configure(info.command_line);
    memory::init(&info.memory);
    log::init(system.log);
    let xen = devices::meet_xen(info);
    launch::greet(info);
    chart::mark("memory and log");

    let mut devices = Devices::find(info, xen);
    random::init(&info.seed, mem::take(&mut devices.entropy));
    chart::mark("devices");

    mmu::seal();
    chart::mark("seal");

    launch::run(info, devices, __mayfly_main)
}

/// A panic in Rust code.
///
/// In an image that ships, the report does not tell the place in the source by itself, as it does in
/// one for development: `cargo xtask run` and `symbolize` find it from the backtrace. When nothing
/// reads the places and this function is part of its caller, the optimiser leaves them out of the
/// image, all panics' together a tenth of it.
#[panic_handler]
#[allow(unused_attributes, reason = "rustc says that it ignores the next one, but LLVM heeds it")]
#[inline(always)]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report::panic(info.message(), info.location().filter(|_| cfg!(debug_assertions)))
}
