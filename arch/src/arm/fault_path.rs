//! What becomes of a fault, once the architecture has decoded it.

use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{
    console, mmu,
    power::{self, Polled},
    start,
};
use crate::{Fault, StackFrame, image, kernel_entry::upcall};

/// Exit status after a fault in the fault report.
const NESTED_FAULT: u8 = 126;

/// Reports a fault. Runs on the fault stack, with interrupts off.
pub fn report(
    cause: &dyn fmt::Display,
    address: Option<usize>,
    registers: &dyn fmt::Display,
    frame: StackFrame,
) -> ! {
    let is_looking = !mmu::is_sealed() && address.is_some_and(mmu::is_device);
    if !start::has_started() || is_looking {
        start::cannot_boot(&WhileStarting { cause, address, pc: frame.pc });
    }
    let place = |address| image::protected_part(address).or_else(|| mmu::window_of(address));
    upcall::fault(&Fault { cause, address, hit: address.and_then(place), registers, frame })
}

/// A fault before the kernel runs, or while it looks for devices: the device tree describes another
/// machine.
struct WhileStarting<'a> {
    cause: &'a dyn fmt::Display,
    address: Option<usize>,
    pc: usize,
}

impl fmt::Display for WhileStarting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        if let Some(address) = self.address {
            write!(f, " at {address:#x}")?;
        }
        write!(f, ", pc {:#x}: the device tree does not describe this machine", self.pc)
    }
}

/// Ends the machine after a fault in the report of another one. Runs at the top of the fault stack.
pub fn nested(cause: &dyn fmt::Display) -> ! {
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let _ = writeln!(Polled, "\nmayfly: fault in the fault report: {cause}");
            power::crash(NESTED_FAULT)
        }
        // Not even the line or the exit could be had.
        1 => {
            crate::console::distrust_writer();
            console::use_uart(None);
            power::crash(NESTED_FAULT)
        }
        _ => power::halt(),
    }
}
