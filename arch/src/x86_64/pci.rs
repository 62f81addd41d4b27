//! What the boot needs from PCI configuration space: whether there is any, and where the power
//! management registers are. Enumerating devices is the drivers' part.

use x86_64::instructions::port::Port;

/// Configuration mechanism 1 (PCI Local Bus Specification 3.0, 3.2.2.3.2).
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// A function that holds the ACPI power management registers: vendor and device id, and where it
/// is. The base of the registers is at the same offset in both.
const POWER_FUNCTIONS: [(u32, u32, u32); 2] = [
    (0x7113_8086, 1, 3),  // PIIX4 power management, machine pc
    (0x2918_8086, 31, 0), // ICH9 LPC bridge, machine q35
];
const POWER_BASE: u32 = 0x40;

/// Offset of the PM1a control register from the base.
const PM1A_CONTROL: u16 = 4;

/// Whether configuration mechanism 1 answers: its address register keeps what is written to it.
pub(super) fn is_present() -> bool {
    let mut address: Port<u32> = Port::new(ADDRESS);
    // SAFETY: selects a register of the host bridge, or does nothing. Reading it back changes
    // nothing.
    unsafe {
        address.write(ENABLE);
        address.read() == ENABLE
    }
}

/// Port of the PM1a control register, if the firmware has set up power management.
pub(super) fn power_control() -> Option<u16> {
    if !is_present() {
        return None;
    }
    let &(_, device, function) =
        POWER_FUNCTIONS.iter().find(|&&(id, device, function)| read(device, function, 0) == id)?;
    // Bit 0 says that this is an I/O address.
    let base = (read(device, function, POWER_BASE) & 0xffc0) as u16;
    (base != 0).then(|| base.wrapping_add(PM1A_CONTROL))
}

/// Reads a register of a function on bus 0.
fn read(device: u32, function: u32, register: u32) -> u32 {
    // SAFETY: reading configuration registers of standard headers has no side effects.
    unsafe {
        Port::new(ADDRESS).write(ENABLE | device << 11 | function << 8 | register);
        Port::new(DATA).read()
    }
}
