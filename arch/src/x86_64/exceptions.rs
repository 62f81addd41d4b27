//! Processor exceptions: decoded, reported, never survived.
//!
//! Every exception enters on the fault stack (interrupt stack table entry 1), so that a stack
//! overflow into a guard page is reported like any other fault.

use core::{
    fmt,
    sync::atomic::{AtomicU8, Ordering},
};

use x86_64::registers::control::Cr2;

use super::{console::print_line, mmu, power};
use crate::{Fault, StackFrame, console, kernel_entry::upcall};

/// What the stubs of `vectors.S` push, last first, then what the processor pushed.
#[repr(C)]
pub(super) struct Registers {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rcx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

const DIVIDE: u64 = 0;
const NMI: u64 = 2;
const BREAKPOINT: u64 = 3;
const INVALID_OPCODE: u64 = 6;
const DOUBLE_FAULT: u64 = 8;
const GENERAL_PROTECTION: u64 = 13;
const PAGE_FAULT: u64 = 14;
const MACHINE_CHECK: u64 = 18;

/// Exit status after a fault in the fault report.
const NESTED_FAULT: u8 = 126;

/// How many faults have been taken. The first is reported; each further one, which comes from the
/// report, gets less and less done.
static FAULTS: AtomicU8 = AtomicU8::new(0);

/// Called by `vectors.S` on every exception.
pub(super) extern "C" fn on_exception(registers: &Registers) -> ! {
    match FAULTS.fetch_add(1, Ordering::Relaxed) {
        0 => report(registers),
        1 => {
            print_line!("\nmayfly: fault in the fault report: {}", Cause::of(registers));
            power::crash(NESTED_FAULT)
        }
        _ => {
            console::distrust_writer();
            power::crash(NESTED_FAULT)
        }
    }
}

fn report(registers: &Registers) -> ! {
    let address = (registers.vector == PAGE_FAULT).then(Cr2::read_raw).map(|cr2| cr2 as usize);
    upcall::fault(&Fault {
        cause: &Cause::of(registers),
        address,
        hit: address.and_then(mmu::describe),
        registers,
        frame: StackFrame { pc: registers.rip as usize, fp: registers.rbp as usize },
    })
}

/// What an exception means (Intel SDM volume 3, 6.15).
#[derive(Clone, Copy)]
struct Cause {
    vector: u64,
    error: u64,
}

impl Cause {
    fn of(registers: &Registers) -> Self {
        Self { vector: registers.vector, error: registers.error }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.vector {
            DIVIDE => "division by zero, or its result does not fit",
            1 => "debug exception",
            NMI => "non-maskable interrupt: the hypervisor reports a hardware failure",
            BREAKPOINT => "breakpoint instruction",
            4 => "overflow trap",
            5 => "bound range exceeded",
            INVALID_OPCODE => "invalid instruction",
            7 => "floating-point or vector instruction, which Mayfly does not allow",
            DOUBLE_FAULT => "double fault: an exception could not be delivered",
            10 => "invalid task state segment",
            11 => "segment not present",
            12 => "stack segment fault: stack address that is not canonical",
            GENERAL_PROTECTION if self.error == 0 => {
                "general protection fault: address that is not canonical, or forbidden register value"
            }
            GENERAL_PROTECTION => "general protection fault: bad segment or interrupt descriptor",
            PAGE_FAULT => page_fault(self.error),
            16 => "x87 floating-point error",
            17 => "misaligned access",
            MACHINE_CHECK => "machine check: the hypervisor reports a hardware failure",
            19 => "SIMD floating-point error",
            21 => "control protection fault",
            _ => return write!(f, "exception {} with error code {:#x}", self.vector, self.error),
        };
        f.write_str(text)
    }
}

/// The error code of a page fault in words (Intel SDM volume 3, 4.7).
fn page_fault(error: u64) -> &'static str {
    let (present, write, reserved, fetch) =
        (error & 1 != 0, error & 2 != 0, error & 8 != 0, error & 16 != 0);
    match (present, write, fetch) {
        _ if reserved => "access through a damaged page table",
        (false, false, false) => "read of an address that is not mapped",
        (false, true, _) => "write to an address that is not mapped",
        (false, false, true) => "jump to an address that is not mapped",
        (true, true, _) => "write to a read-only page",
        (true, false, true) => "execution of a page that is not executable",
        (true, false, false) => "read of a page that is not readable",
    }
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            [("rax", self.rax), ("rbx", self.rbx), ("rcx", self.rcx), ("rdx", self.rdx)],
            [("rsi", self.rsi), ("rdi", self.rdi), ("rbp", self.rbp), ("rsp", self.rsp)],
            [("r8 ", self.r8), ("r9 ", self.r9), ("r10", self.r10), ("r11", self.r11)],
            [("r12", self.r12), ("r13", self.r13), ("r14", self.r14), ("r15", self.r15)],
            [("rip", self.rip), ("flg", self.rflags), ("err", self.error), ("cs ", self.cs)],
        ];
        for row in rows {
            for (index, (name, value)) in row.into_iter().enumerate() {
                write!(f, "{}{name} {value:016x}", if index == 0 { "" } else { "  " })?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
