//! Ends the process.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, exit},
};

/// Ends the process with `status`.
pub fn power_off(status: u8) -> ! {
    exit(i32::from(status))
}

/// Starts the program again, with the same arguments, in the same process. If it is not there any
/// more, ends with status 1.
pub fn reboot() -> ! {
    if let Ok(program) = env::current_exe() {
        let error = Command::new(program).args(env::args_os().skip(1)).exec();
        eprintln!("cannot start the program again: {error}");
    }
    exit(1)
}

/// Ends the process with `status`.
pub fn crash(status: u8) -> ! {
    exit(i32::from(status))
}
