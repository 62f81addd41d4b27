//! The ways to stop.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, Ordering},
};

use x86_64::instructions::{hlt, interrupts, port::PortWriteOnly};

use super::{console::print_line, mmu, pci};
use crate::{
    PhysAddr, PhysRange,
    xen::{self, Reason},
};

/// Port of QEMU's `isa-debug-exit` device, 0 if the command line names none.
static DEBUG_EXIT: AtomicU16 = AtomicU16::new(0);

/// A register of hardware-reduced ACPI, and what to write to it. Null where there is none.
struct Register {
    address: AtomicPtr<u8>,
    value: AtomicU8,
}

static SLEEP_CONTROL: Register = Register::none();
static RESET: Register = Register::none();

/// PM1 control register: sleep type 0, which QEMU's DSDT gives for S5, and SLP_EN (ACPI 6.5,
/// 4.8.3.2.1).
const SLEEP_ENABLE: u16 = 1 << 13;

/// Reset control register of PIIX4 and ICH9: full reset, reset now.
const RESET_CONTROL: u16 = 0xcf9;
const RESET_NOW: u8 = 0x06;

/// Keyboard controller command: pulse the reset line.
const KEYBOARD_COMMAND: u16 = 0x64;
const PULSE_RESET: u8 = 0xfe;

/// Spins that a reset or power-off is given to take effect.
const PATIENCE: u32 = 100_000;

/// Reads from the command line how the exit status leaves the guest:
/// `mayfly.exit=debug-exit:PORT`, PORT in hexadecimal with `0x` or in decimal, writes it to QEMU's
/// `isa-debug-exit`, and QEMU exits with twice the status plus one. Without it, or when it makes no
/// sense, the status is only printed.
pub fn configure(command_line: &str) {
    let port = command_line
        .split_ascii_whitespace()
        .filter_map(|argument| argument.strip_prefix("mayfly.exit=debug-exit:"))
        .next_back()
        .and_then(|port| match port.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => port.parse().ok(),
        });
    DEBUG_EXIT.store(port.unwrap_or(0), Ordering::Relaxed);
}

/// Switches off and resets by these registers, each a byte of memory, from now on.
pub(super) fn use_registers(sleep: Option<(PhysAddr, u8)>, reset: Option<(PhysAddr, u8)>) {
    SLEEP_CONTROL.set(sleep);
    RESET.set(reset);
}

impl Register {
    const fn none() -> Self {
        Self { address: AtomicPtr::new(ptr::null_mut()), value: AtomicU8::new(0) }
    }

    /// Maps the register. Nothing happens if it cannot be.
    fn set(&self, register: Option<(PhysAddr, u8)>) {
        let Some((address, value)) = register else { return };
        let mapped = PhysRange::new(address, 1).map(mmu::map_device);
        if let Some(Ok(pointer)) = mapped {
            self.value.store(value, Ordering::Relaxed);
            self.address.store(pointer.as_ptr(), Ordering::Relaxed);
        }
    }

    /// Writes to the register if there is one, and waits for what comes of it.
    fn write(&self) {
        let address = self.address.load(Ordering::Relaxed);
        if !address.is_null() {
            // SAFETY: `set` mapped a byte of device registers here, which by the machine's
            // description ends or restarts the guest.
            unsafe { address.write_volatile(self.value.load(Ordering::Relaxed)) };
            spin();
        }
    }
}

/// Ends the guest with `status`.
pub fn power_off(status: u8) -> ! {
    leave(status);
    xen::shut_down(Reason::PowerOff);
    SLEEP_CONTROL.write();
    if let Some(port) = pci::power_control() {
        // SAFETY: the PM1a control register of the machine's power management function; the
        // machine is gone after this, or nothing happened.
        unsafe { PortWriteOnly::new(port).write(SLEEP_ENABLE) };
        spin();
    }
    reset()
}

/// Starts the guest anew. QEMU's `-no-reboot` makes this an exit.
pub fn reboot() -> ! {
    interrupts::disable();
    xen::shut_down(Reason::Reboot);
    reset()
}

/// Ends the guest after a failure, with `status`.
pub fn crash(status: u8) -> ! {
    leave(status);
    xen::shut_down(Reason::Crash);
    power_off(status)
}

/// Hands `status` to the debug exit device, or prints it if there is none or if it is too large
/// for the exit status that QEMU makes of it.
fn leave(status: u8) {
    interrupts::disable();
    let port = DEBUG_EXIT.load(Ordering::Relaxed);
    if port == 0 || status > 127 {
        print_line!("mayfly: exit status {status}");
    }
    if port != 0 {
        // SAFETY: the command line says that this is the debug exit device, and whoever writes
        // the command line may end the guest.
        unsafe { PortWriteOnly::new(port).write(status) };
        spin();
    }
}

fn reset() -> ! {
    RESET.write();
    // SAFETY: these ports reset the machine, which is what is wanted, or are not there.
    unsafe {
        PortWriteOnly::new(RESET_CONTROL).write(RESET_NOW);
        spin();
        PortWriteOnly::new(KEYBOARD_COMMAND).write(PULSE_RESET);
        spin();
    }
    triple_fault();
    loop {
        hlt();
    }
}

/// A fault for which there is no handler, nor one for that.
fn triple_fault() {
    let empty =
        x86_64::structures::DescriptorTablePointer { limit: 0, base: x86_64::VirtAddr::zero() };
    // SAFETY: the processor resets at the next instruction; no handler is needed any more.
    unsafe {
        x86_64::instructions::tables::lidt(&empty);
        core::arch::asm!("int3", options(nomem, nostack));
    }
}

/// Gives the machine time to act on a write.
fn spin() {
    for _ in 0..PATIENCE {
        core::hint::spin_loop();
    }
}
