//! The last steps of every start, in a guest and in a process: the app's `main`, and its status.

use alloc::boxed::Box;
use core::{pin::Pin, time::Duration};

use mayfly_arch::BootInfo;

use crate::{
    chart, console,
    devices::Devices,
    executor, log,
    machine::Machine,
    power::{self, ExitStatus},
    random, time,
};

/// The app's `main`, as `#[mayfly::main]` wraps it.
pub(crate) type MainFuture = Pin<Box<dyn Future<Output = crate::Result>>>;

/// How long `main` waits for an entropy device to answer, if there is no other source.
const ENTROPY_PATIENCE: Duration = Duration::from_secs(1);

/// Says what this is and what it runs on, and repeats what discovery complained of.
pub(crate) fn greet(info: &BootInfo) {
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

/// Runs the app on the executor, and ends with its status.
pub(crate) fn run(
    info: &'static BootInfo,
    mut devices: Devices,
    main: impl FnOnce(Machine) -> MainFuture + 'static,
) -> ! {
    let consoles = core::mem::take(&mut devices.consoles);
    let entropy = core::mem::take(&mut devices.entropy);
    let machine = Machine::new(info, devices);
    let status = executor::run_app(async move {
        console::start(consoles);
        random::start(entropy);
        // Without randomness the app starts all the same, and gets an error where it needs some.
        let _ = time::timeout(ENTROPY_PATIENCE, random::ready()).await;
        chart::mark("executor");
        match main(machine).await {
            Ok(()) => ExitStatus::SUCCESS,
            Err(error) => {
                log::error!("main ended with an error: {error}");
                ExitStatus::FAILURE
            }
        }
    });
    power::off(status.unwrap_or(ExitStatus::FAILURE))
}
