//! From the architecture's hands to the app's `main`. Reads top to bottom.

use alloc::boxed::Box;
use core::{pin::Pin, time::Duration};

use mayfly_arch::{BootInfo, mmu, power};

use crate::{
    chart, config, console,
    devices::Devices,
    executor, interrupts, log,
    machine::Machine,
    memory,
    power::{self as end, ExitStatus},
    random, report, time,
};

mayfly_arch::kernel_entry! {
    start: start,
    interrupt: interrupts::dispatch,
    fault: report::fault,
}

/// The app's `main`, as `#[mayfly::main]` wraps it.
type MainFuture = Pin<Box<dyn Future<Output = crate::Result>>>;

unsafe extern "Rust" {
    /// The app's `main`, as `#[mayfly::main]` wraps it.
    safe fn __mayfly_main(machine: Machine) -> MainFuture;
}

/// How long `main` waits for an entropy device to answer, if there is no other source.
const ENTROPY_PATIENCE: Duration = Duration::from_secs(1);

/// Starts the kernel on what discovery found, then the app, and ends with the app's status.
fn start(info: &'static BootInfo) -> ! {
    chart::mark("discovery");
    let system = config::System::parse(info.command_line);
    power::configure(info.command_line);
    memory::init(&info.memory);
    log::init(system.log);
    greet(info);
    chart::mark("memory and log");

    let mut devices = Devices::start(info);
    random::init(info);
    chart::mark("devices");

    mmu::seal();
    chart::mark("seal");

    let consoles = core::mem::take(&mut devices.consoles);
    let entropy = core::mem::take(&mut devices.entropy);
    let machine = Machine::new(info, devices);
    let status = executor::run(async move {
        console::start(consoles);
        random::start(entropy);
        // Without randomness the app starts all the same, and gets an error where it needs some.
        let _ = time::timeout(ENTROPY_PATIENCE, random::ready()).await;
        chart::mark("executor");
        match __mayfly_main(machine).await {
            Ok(()) => ExitStatus::SUCCESS,
            Err(error) => {
                log::error!("main ended with an error: {error}");
                ExitStatus::FAILURE
            }
        }
    });
    end::off(status)
}

/// Says what this is and what it runs on, and repeats what discovery complained of.
fn greet(info: &BootInfo) {
    log::info!(
        "Mayfly {} on {} ({:?}), {} KiB of memory",
        env!("CARGO_PKG_VERSION"),
        mayfly_arch::NAME,
        info.hypervisor,
        info.memory_total / 1024,
    );
    for warning in &info.warnings {
        log::warn!("{warning}");
    }
}

/// A panic in Rust code.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report::panic(info)
}
