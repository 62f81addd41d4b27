//! Ways to end.

use mayfly_arch::power;

/// The status that the guest ends with; `cargo xtask run` exits with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(pub u8);

impl ExitStatus {
    /// All went well.
    pub const SUCCESS: Self = Self(0);
    /// The app's `main` returned an error.
    pub const FAILURE: Self = Self(1);
    /// A panic, as a Rust program on Unix would report it.
    pub const PANIC: Self = Self(101);
    /// A processor exception.
    pub const FAULT: Self = Self(102);
}

/// Writes out the console and switches the machine off.
pub fn off(status: ExitStatus) -> ! {
    crate::console::flush_blocking();
    power::power_off(status.0)
}

/// Writes out the console and starts the machine again.
pub fn reboot() -> ! {
    crate::console::flush_blocking();
    power::reboot()
}

/// Ends at once, as a crash.
pub fn crash(status: ExitStatus) -> ! {
    crate::console::flush_blocking();
    power::crash(status.0)
}
