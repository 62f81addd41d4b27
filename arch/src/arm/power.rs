//! The ways to stop: PSCI, the firmware interface for power (ARM DEN 0022), and semihosting, which
//! carries an exit status out of QEMU.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
};

use crate::{
    console,
    cpu::interrupts_disable,
    fdt::Conduit,
    machine::registers,
    xen::{self, Reason},
};

/// PSCI 0.2 function SYSTEM_OFF.
pub(crate) const SYSTEM_OFF: u32 = 0x8400_0008;
/// PSCI 0.2 function SYSTEM_RESET.
const SYSTEM_RESET: u32 = 0x8400_0009;

const NO_CONDUIT: u8 = 0;
const HVC: u8 = 1;
const SMC: u8 = 2;

/// How PSCI is called.
static CONDUIT: AtomicU8 = AtomicU8::new(NO_CONDUIT);
/// Whether the exit status travels by semihosting.
static SEMIHOSTING: AtomicBool = AtomicBool::new(false);

/// Calls PSCI by `conduit` from now on.
pub(crate) fn use_conduit(conduit: Option<Conduit>) {
    let value = match conduit {
        None => NO_CONDUIT,
        Some(Conduit::Hvc) => HVC,
        Some(Conduit::Smc) => SMC,
    };
    CONDUIT.store(value, Ordering::Relaxed);
}

/// Reads the boot arguments that concern this module. `mayfly.exit=semihosting` says that whoever
/// runs the guest answers semihosting calls (QEMU's option `-semihosting`).
pub fn configure(command_line: &str) {
    let semihosting =
        command_line.split_ascii_whitespace().any(|word| word == "mayfly.exit=semihosting");
    SEMIHOSTING.store(semihosting, Ordering::Relaxed);
}

/// Switches the machine off. The exit status travels by semihosting if [`configure`] saw that it
/// can; otherwise it is printed as `mayfly: exit status N`.
pub fn power_off(status: u8) -> ! {
    exit(status);
    xen::shut_down(Reason::PowerOff);
    call(SYSTEM_OFF);
    halt()
}

/// Starts the machine anew, and says so, because not everybody can tell that from an end.
pub fn reboot() -> ! {
    interrupts_disable();
    let _ = writeln!(Polled, "mayfly: reboots");
    xen::shut_down(Reason::Reboot);
    call(SYSTEM_RESET);
    halt()
}

/// Switches the machine off after something went wrong, with an exit status as [`power_off`].
pub fn crash(status: u8) -> ! {
    exit(status);
    xen::shut_down(Reason::Crash);
    call(SYSTEM_OFF);
    halt()
}

/// Leaves by semihosting, or prints the status and returns.
fn exit(status: u8) {
    // What an interrupt handler logged would end up in the line about the status.
    interrupts_disable();
    // Taken back first: if nobody answers, the call is an undefined instruction, whose report ends
    // here again.
    if SEMIHOSTING.swap(false, Ordering::Relaxed) {
        registers::semihosting_exit(status);
    }
    let _ = writeln!(Polled, "mayfly: exit status {status}");
}

fn call(function: u32) {
    match CONDUIT.load(Ordering::Relaxed) {
        HVC => registers::call(Conduit::Hvc, function),
        SMC => registers::call(Conduit::Smc, function),
        _ => {}
    }
}

/// Stops this CPU, when nothing else is left.
pub(crate) fn halt() -> ! {
    interrupts_disable();
    loop {
        registers::wait();
    }
}

/// The early console as a target of `write!`.
pub(crate) struct Polled;

impl Write for Polled {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        console::write(text.as_bytes());
        Ok(())
    }
}
