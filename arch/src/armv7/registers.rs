//! System registers, barriers and calls, under the names that `arm/` expects.

use core::arch::{asm, global_asm};

use aarch32_cpu::{
    asm::{dsb, isb, wfi},
    register::{CntVct, Cntfrq, CntvCtl, CntvCval, IdPfr1, Mpidr, TlbIAll},
};

use crate::{PAGE_SIZE, fdt::Conduit};

global_asm!(include_str!("calls.S"), options(raw));

unsafe extern "C" {
    fn hypervisor_call(function: u32) -> u32;
    fn firmware_call(function: u32) -> u32;
    fn semihosting_call(operation: u32, argument: *const u32) -> u32;
}

/// Processor modes: bits 4 to 0 of CPSR (ARM DDI 0406C B1.3.1).
pub mod mode {
    /// The bits.
    pub const MASK: u32 = 0x1f;
    /// Supervisor: everything but fault reports.
    pub const SVC: u32 = 0x13;
    /// Abort: fault reports.
    pub const ABORT: u32 = 0x17;
    /// Hyp: at most the first instructions.
    pub const HYP: u32 = 0x1a;
}

/// The virtual counter.
pub fn counter() -> u64 {
    // The counter may be read ahead of what comes before in the program.
    isb();
    CntVct::read().0
}

/// Ticks of the counter per second.
pub fn counter_frequency() -> u32 {
    Cntfrq::read().0
}

/// Lets the virtual timer interrupt when the counter reaches `value`.
pub fn timer_start(value: u64) {
    CntvCval::write(CntvCval(value));
    CntvCtl::write(CntvCtl::new_with_raw_value(1));
    isb();
}

/// Stops the virtual timer; its interrupt is not pending any more.
pub fn timer_stop() {
    CntvCtl::write(CntvCtl::new_with_raw_value(0));
    isb();
}

/// Orders what an interrupt handler does after the acknowledgement.
pub fn interrupt_acknowledged() {
    dsb();
}

/// Makes what was written to system registers take effect before the next instruction.
pub fn synchronize() {
    isb();
}

/// Affinity of this CPU, as GICv3 registers hold it: Aff2 to Aff0 in bits 23 to 0.
pub fn affinity() -> u64 {
    u64::from(Mpidr::read().0 & 0x00ff_ffff)
}

/// Whether the CPU interface of a GICv3 is in system registers.
pub fn has_gic_registers() -> bool {
    IdPfr1::read().0 >> 28 != 0
}

/// Makes the processor see translation table entries that have become valid.
pub fn table_entries_written() {
    dsb();
    isb();
}

/// Writes a register of a device by the one form of the instruction that a hypervisor can emulate:
/// the compiler may make of a loop one that changes its address, too, of which the processor does not
/// tell enough (without ISV in ESR_EL2).
///
/// # Safety
/// `register` is a register of a device, and it is sound to write `value` to it.
pub unsafe fn write_register(register: *mut u32, value: u32) {
    // SAFETY: what the caller promises.
    unsafe {
        asm!("str {}, [{}]", in(reg) value, in(reg) register, options(nostack, preserves_flags));
    }
}

/// Zeroes the page at `page`.
///
/// # Safety
/// `page` points to 4096 bytes of normal memory, aligned to 4096, that nobody else uses.
pub unsafe fn zero_page(page: *mut u64) {
    // SAFETY: the page is the caller's. Written out because the library's loop takes four times as
    // many instructions.
    unsafe {
        asm!(
            "2:",
            "stmia {page}!, {{r0-r3}}",
            "stmia {page}!, {{r0-r3}}",
            "stmia {page}!, {{r0-r3}}",
            "stmia {page}!, {{r0-r3}}",
            "cmp {page}, {end}",
            "bne 2b",
            page = inout(reg) page => _,
            end = in(reg) page.wrapping_byte_add(PAGE_SIZE),
            in("r0") 0,
            in("r1") 0,
            in("r2") 0,
            in("r3") 0,
            options(nostack),
        );
    }
}

/// Makes the processor forget all translations after entries have become invalid.
pub fn invalidate_tlb() {
    dsb();
    TlbIAll::write();
    dsb();
    isb();
}

/// Waits for an interrupt, or a little while.
pub fn wait() {
    wfi();
}

/// Calls a function of PSCI that takes no arguments. Returns if the firmware refuses it.
pub fn call(conduit: Conduit, function: u32) {
    // SAFETY: the SMC calling convention (ARM DEN 0028) keeps memory and all registers from r4 on;
    // the functions that are called here switch off or start anew and change no memory.
    unsafe {
        match conduit {
            Conduit::Hvc => hypervisor_call(function),
            Conduit::Smc => firmware_call(function),
        };
    }
}

/// Leaves by semihosting with `status`: SYS_EXIT_EXTENDED with ADP_Stopped_ApplicationExit (Arm
/// semihosting specification 2.0, 7.5). Without a host that answers, it is a supervisor call that
/// the vectors report.
pub fn semihosting_exit(status: u8) {
    const SYS_EXIT_EXTENDED: u32 = 0x20;
    const APPLICATION_EXIT: u32 = 0x2_0026;
    let block = [APPLICATION_EXIT, u32::from(status)];
    // SAFETY: the host reads the block and ends the machine. Otherwise the call is a fault, which
    // does not return.
    unsafe { semihosting_call(SYS_EXIT_EXTENDED, block.as_ptr()) };
}
