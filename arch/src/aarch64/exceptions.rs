//! Exceptions: interrupts go to their dispatcher, everything else is a fault.

use core::{
    arch::global_asm,
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use super::esr::Syndrome;
use crate::{
    Fault, StackFrame,
    arm::{
        console, interrupts, mmu,
        power::{self, Polled},
        start,
    },
    image,
    kernel_entry::upcall,
};

/// Exit status after a fault in the fault report.
const NESTED_FAULT: u8 = 126;

const SYNCHRONOUS: u64 = 0;
const FIQ: u64 = 1;
const SERROR: u64 = 2;

global_asm!(
    include_str!("vectors.S"),
    FRAME_SIZE = const size_of::<Frame>(),
    SYNCHRONOUS = const SYNCHRONOUS,
    FIQ = const FIQ,
    SERROR = const SERROR,
    fault = sym fault,
    nested_fault = sym nested_fault,
    interrupt = sym interrupt,
);

/// What `vectors.S` stores on the fault stack.
#[repr(C, align(16))]
struct Frame {
    /// x0 to x30.
    general: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    syndrome: u64,
    address: u64,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, values) in self.general.chunks(4).enumerate() {
            for (column, value) in values.iter().enumerate() {
                let number = 4 * line + column;
                write!(f, "{}x{number:<2} {value:016x}", if column == 0 { "" } else { "  " })?;
            }
            if values.len() == 4 {
                writeln!(f)?;
            }
        }
        writeln!(f, "  sp  {:016x}", self.sp)?;
        writeln!(f, "pc  {:016x}  psr {:016x}  esr {:016x}", self.pc, self.pstate, self.syndrome)
    }
}

extern "C" fn interrupt() {
    interrupts::dispatch();
}

/// Reports a fault. Runs on the fault stack, with interrupts off.
extern "C" fn fault(frame: &Frame, kind: u64) -> ! {
    let syndrome = Syndrome::new(frame.syndrome);
    let cause: &dyn fmt::Display = match kind {
        SERROR => &"asynchronous abort (SError): a write to something that does not answer",
        FIQ => &"fast interrupt (FIQ), which nothing should raise",
        _ => &syndrome,
    };
    let address = (kind == SYNCHRONOUS && syndrome.has_address()).then_some(frame.address as usize);
    if !start::has_started() {
        start::cannot_boot(&WhileStarting { cause, address, pc: frame.pc });
    }
    let hit = address
        .and_then(|address| image::protected_part(address).or_else(|| mmu::window_of(address)));
    let place = StackFrame { pc: frame.pc as usize, fp: frame.general[29] as usize };
    upcall::fault(&Fault { cause, address, hit, registers: frame, frame: place })
}

/// A fault before the kernel runs: the device tree describes another machine.
struct WhileStarting<'a> {
    cause: &'a dyn fmt::Display,
    address: Option<usize>,
    pc: u64,
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
extern "C" fn nested_fault() -> ! {
    use core::fmt::Write;
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let syndrome = Syndrome::current();
            let _ = writeln!(Polled, "\nmayfly: fault in the fault report: {syndrome}");
            power::crash(NESTED_FAULT)
        }
        // Not even the line or the exit could be had.
        1 => {
            console::use_uart(None);
            power::crash(NESTED_FAULT)
        }
        _ => power::halt(),
    }
}
