//! The processor: interrupts on and off, idling, random numbers.

use core::arch::asm;

use aarch64_cpu::registers::{DAIF, ID_AA64ISAR0_EL1, Readable, SCTLR_EL1};

/// Whether interrupts are delivered.
pub fn interrupts_enabled() -> bool {
    !DAIF.is_set(DAIF::I)
}

/// Keeps interrupts pending.
pub fn interrupts_disable() {
    // SAFETY: masking interrupts breaks no promise to memory. Without `nomem` the compiler keeps
    // accesses to what is shared with handlers on the right side of it.
    unsafe { asm!("msr daifset, #2", options(nostack)) };
}

/// Delivers interrupts, those that are pending at once.
pub fn interrupts_enable() {
    // SAFETY: the vectors are installed since boot; handlers share nothing with other code that is
    // not behind an `IrqLock` or atomic. Ordering as in `interrupts_disable`.
    unsafe { asm!("msr daifclr, #2", options(nostack)) };
}

/// Waits until an interrupt is pending, lets it be handled, and returns with interrupts off, as
/// they must be when it is called. An interrupt that is pending already is not waited for, so
/// whoever looked for work with interrupts off does not miss a wake-up.
pub fn wait_for_interrupt() {
    // SAFETY: as `interrupts_enable` and `interrupts_disable`. A pending interrupt ends `wfi` even
    // while it is masked; `isb` makes sure that it is taken between the two.
    unsafe { asm!("dsb sy", "wfi", "msr daifclr, #2", "isb", "msr daifset, #2", options(nostack)) };
}

/// A random number from the processor, `None` if it has none or failed to make one.
pub fn hardware_random() -> Option<u64> {
    if ID_AA64ISAR0_EL1.read(ID_AA64ISAR0_EL1::RNDR) == 0 {
        return None;
    }
    let number: u64;
    let failed: u64;
    // SAFETY: RNDR (s3_3_c2_c4_0) exists, as its ID register says. It sets Z if it failed.
    unsafe {
        asm!(
            "mrs {number}, s3_3_c2_c4_0",
            "cset {failed}, eq",
            number = out(reg) number,
            failed = out(reg) failed,
            options(nomem, nostack),
        );
    }
    (failed == 0).then_some(number)
}

/// Where the instruction is that execution goes on with after a return to `target`.
pub fn code_address(target: usize) -> usize {
    target
}

/// The frame pointer of the caller, where a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let fp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags)) };
    fp
}

/// Executes an instruction that is defined to be undefined, which ends the guest with a report. It is
/// for the test of that.
#[inline(always)]
pub fn undefined_instruction() -> ! {
    // SAFETY: nothing behind it is executed: the handler of the exception does not return.
    unsafe { asm!("udf #0", options(nomem, nostack, noreturn)) }
}

/// A counter for measuring short times: the virtual counter, in ticks of the generic timer. The
/// processor's own cycle counter is not available to guests in general.
pub fn cycles() -> u64 {
    super::registers::counter()
}

/// The first protection of memory that the processor has and that is off, and what that means; `None`
/// if all are on.
pub fn missing_protection() -> Option<&'static str> {
    if !SCTLR_EL1.is_set(SCTLR_EL1::M) {
        return Some("the MMU is off: no SCTLR_EL1.M");
    }
    if !SCTLR_EL1.is_set(SCTLR_EL1::WXN) {
        return Some("what is writable is executable: no SCTLR_EL1.WXN");
    }
    None
}
