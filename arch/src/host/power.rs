//! Ends the process.

/// Ends the process with `status`.
pub fn power_off(status: u8) -> ! {
    std::process::exit(i32::from(status))
}
