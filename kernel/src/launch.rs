//! The last steps of every start, in a guest and in a process: the app's `main`, and its status.

use alloc::boxed::Box;
use core::{mem, pin::Pin};

use mayfly_arch::{BootInfo, cpu};

use crate::{
    chart, console,
    devices::Devices,
    executor, log,
    machine::Machine,
    power::{self, ExitStatus},
};

/// The app's `main`, as `#[mayfly::main]` wraps it.
pub(crate) type MainFuture = Pin<Box<dyn Future<Output = ExitStatus>>>;

/// Says what this is and what it runs on, and repeats what discovery complained of.
pub(crate) fn greet(info: &BootInfo) {
    log::info!(
        "Mayfly {} on {} ({}), {} KiB of memory",
        env!("CARGO_PKG_VERSION"),
        mayfly_arch::NAME,
        info.hypervisor,
        info.memory_total / 1024,
    );
    for warning in &info.warnings {
        log::warn!("{warning}");
    }
}

/// Runs the app on the executor, and ends with its status.
pub(crate) fn run(
    info: &'static BootInfo,
    mut devices: Devices,
    main: impl FnOnce(Machine) -> MainFuture + 'static,
) -> ! {
    let first = mem::take(&mut devices.first_consoles);
    let consoles = mem::take(&mut devices.consoles);
    let machine = Machine::new(info, devices);
    // From here on, interrupts are off only while something is locked: the panic handler goes by it.
    cpu::interrupts_enable();
    let status = executor::run_app(async move {
        console::start(first, consoles);
        chart::mark("executor");
        main(machine).await
    });
    power::off(status.unwrap_or(ExitStatus::FAILURE))
}
