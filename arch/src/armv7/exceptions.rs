//! Exceptions: interrupts go to their dispatcher, everything else is a fault.

use core::{arch::global_asm, fmt};

use aarch32_cpu::register::{Dfar, Dfsr, Ifar, Ifsr};

use super::{fsr, registers::mode};
use crate::{
    StackFrame,
    arm::{abort::Abort, fault_path, interrupts},
};

const UNDEFINED: u32 = 0;
const SUPERVISOR_CALL: u32 = 1;
const PREFETCH_ABORT: u32 = 2;
const DATA_ABORT: u32 = 3;
const FAST_INTERRUPT: u32 = 4;

/// CPSR.T: the processor executes Thumb code.
const THUMB: u32 = 1 << 5;

global_asm!(
    include_str!("vectors.S"),
    MODE_MASK = const mode::MASK,
    MODE_SVC = const mode::SVC,
    MODE_ABORT = const mode::ABORT,
    THUMB = const THUMB,
    UNDEFINED = const UNDEFINED,
    SUPERVISOR_CALL = const SUPERVISOR_CALL,
    PREFETCH_ABORT = const PREFETCH_ABORT,
    DATA_ABORT = const DATA_ABORT,
    FAST_INTERRUPT = const FAST_INTERRUPT,
    fault = sym fault,
    nested_fault = sym nested_fault,
    interrupt = sym interrupt,
);

/// What `vectors.S` stores on the fault stack.
#[repr(C)]
struct Frame {
    /// r0 to r12.
    general: [u32; 13],
    sp: u32,
    lr: u32,
    pc: u32,
    cpsr: u32,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, values) in self.general.chunks(4).enumerate() {
            for (column, value) in values.iter().enumerate() {
                let number = 4 * line + column;
                write!(f, "{}r{number:<2}  {value:08x}", if column == 0 { "" } else { "  " })?;
            }
            if values.len() == 4 {
                writeln!(f)?;
            }
        }
        writeln!(f, "  sp   {:08x}  lr   {:08x}", self.sp, self.lr)?;
        writeln!(f, "pc   {:08x}  cpsr {:08x}", self.pc, self.cpsr)
    }
}

/// Why there was an exception, from the registers that describe the last one.
fn cause_of(kind: u32) -> (Cause, Option<u32>) {
    match kind {
        DATA_ABORT => {
            let (abort, has_address) = fsr::data_abort(Dfsr::read().raw_value());
            (Cause::Abort(abort), has_address.then(|| Dfar::read().0))
        }
        PREFETCH_ABORT => {
            let (abort, has_address) = fsr::prefetch_abort(Ifsr::read().raw_value());
            (Cause::Abort(abort), has_address.then(|| Ifar::read().0))
        }
        UNDEFINED => (Cause::Words("undefined instruction"), None),
        SUPERVISOR_CALL => (Cause::Words("supervisor call (svc) with nobody to answer it"), None),
        _ => (Cause::Words("fast interrupt (FIQ), which nothing should raise"), None),
    }
}

enum Cause {
    Abort(Abort),
    Words(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abort(abort) => abort.fmt(f),
            Self::Words(words) => f.write_str(words),
        }
    }
}

extern "C" fn interrupt() {
    interrupts::dispatch();
}

/// Reports a fault. Runs in abort mode, on the fault stack, with interrupts off.
extern "C" fn fault(frame: &Frame, kind: u32) -> ! {
    let (cause, address) = cause_of(kind);
    let place = StackFrame { pc: frame.pc as usize, fp: frame.general[11] as usize };
    fault_path::report(&cause, address.map(|address| address as usize), frame, place)
}

/// A fault of the fault report itself. Runs at the top of the fault stack.
extern "C" fn nested_fault(kind: u32) -> ! {
    fault_path::nested(&cause_of(kind).0)
}
