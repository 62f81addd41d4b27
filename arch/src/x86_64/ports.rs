//! I/O ports.
//!
//! Safe to call like the register accesses of any device: what a port does is up to the device at
//! the other end, and no device that Mayfly drives by ports touches memory by itself.

use core::arch::asm;

/// Reads a byte from a port.
pub fn read_u8(port: u16) -> u8 {
    let value;
    // SAFETY: reads a device register; touches neither memory nor flags.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) }
    value
}

/// Writes a byte to a port.
pub fn write_u8(port: u16, value: u8) {
    // SAFETY: writes a device register; touches neither memory nor flags.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) }
}

/// Reads 32 bits from a port.
pub fn read_u32(port: u16) -> u32 {
    let value;
    // SAFETY: as for `read_u8`.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags))
    }
    value
}

/// Writes 32 bits to a port.
pub fn write_u32(port: u16, value: u32) {
    // SAFETY: as for `write_u8`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags))
    }
}
