//! From the arguments of a Linux process to the app's `main`: what `boot` is on bare metal.

use alloc::boxed::Box;
use core::{ffi::c_int, mem};
use std::{env, error::Error, panic, process};

use mayfly_arch::poll;
use mayfly_unix::{Options, USAGE, UsageError};

use crate::{
    config,
    devices::Devices,
    launch::{self, MainFuture},
    log,
    machine::Machine,
    power::ExitStatus,
    random,
};

/// Exit status of a process that was called in the wrong way.
const USAGE_STATUS: c_int = 2;

/// Runs an app as a Linux process, whose arguments name its devices. `#[mayfly::main]` calls it
/// from the process's `main`.
#[doc(hidden)]
pub fn host_main(app: fn(Machine) -> MainFuture) -> c_int {
    let options = match Options::parse(env::args_os().skip(1)) {
        Ok(options) => options,
        Err(UsageError::Help) => {
            print!("{USAGE}");
            return 0;
        }
        Err(error) => return fail(&error),
    };
    report_panics();
    if let Err(error) = poll::install() {
        return fail(&error);
    }
    let info = mayfly_unix::boot_info(options);
    log::init(config::System::parse(info.command_line).log);
    launch::greet(info);
    let mut devices = Devices::find(info, None);
    random::init(&info.seed, mem::take(&mut devices.entropy));
    launch::run(info, devices, app)
}

fn fail(error: &dyn Error) -> c_int {
    eprintln!("{error}");
    USAGE_STATUS
}

/// Makes a panic end the process with the status that it ends a guest with.
fn report_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        process::exit(i32::from(ExitStatus::PANIC.0));
    }));
}
