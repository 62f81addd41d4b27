//! Exceptions: interrupts go to their dispatcher, everything else is a fault.

use core::{arch::global_asm, fmt};

use aarch64_cpu::registers::{ESR_EL1, Readable};

use super::esr::Syndrome;
use crate::{
    StackFrame,
    arm::{fault_path, interrupts},
};

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
    let place = StackFrame { pc: frame.pc as usize, fp: frame.general[29] as usize };
    fault_path::report(cause, address, frame, place)
}

/// A fault of the fault report itself. Runs at the top of the fault stack.
extern "C" fn nested_fault() -> ! {
    fault_path::nested(&Syndrome::new(ESR_EL1.get()))
}
