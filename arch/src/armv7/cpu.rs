//! The processor: interrupts on and off, idling.

use core::arch::asm;

use aarch32_cpu::register::{Cpsr, Sctlr};

/// Whether interrupts are delivered.
pub fn interrupts_enabled() -> bool {
    !Cpsr::read().i()
}

/// Keeps interrupts pending.
pub fn interrupts_disable() {
    // SAFETY: masking interrupts breaks no promise to memory. Without `nomem` the compiler keeps
    // accesses to what is shared with handlers on the right side of it.
    unsafe { asm!("cpsid i", options(nostack)) };
}

/// Delivers interrupts, those that are pending at once.
pub fn interrupts_enable() {
    // SAFETY: the vectors are installed since boot; handlers share nothing with other code that is
    // not behind an `IrqLock` or atomic. Ordering as in `interrupts_disable`.
    unsafe { asm!("cpsie i", options(nostack)) };
}

/// Waits until an interrupt is pending, lets it be handled, and returns with interrupts off, as
/// they must be when it is called. An interrupt that is pending already is not waited for, so
/// whoever looked for work with interrupts off does not miss a wake-up.
pub fn wait_for_interrupt() {
    // SAFETY: as `interrupts_enable` and `interrupts_disable`. A pending interrupt ends `wfi` even
    // while it is masked; `isb` makes sure that it is taken between the two.
    unsafe { asm!("dsb sy", "wfi", "cpsie i", "isb", "cpsid i", options(nostack)) };
}

/// A random number from the processor: always `None`, ARMv7 has no such instruction.
pub fn hardware_random() -> Option<u64> {
    None
}

/// Where the instruction is that execution goes on with after a return to `target`: bit 0 says
/// that it is one of Thumb code.
pub fn code_address(target: usize) -> usize {
    target & !1
}

/// The frame pointer of the caller, where a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let fp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, r11", out(reg) fp, options(nomem, nostack, preserves_flags)) };
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
    /// The crate does not name it (ARM DDI 0406C B4.1.130).
    const WXN: u32 = 1 << 19;

    let control = Sctlr::read();
    if !control.m() {
        return Some("the MMU is off: no SCTLR.M");
    }
    if control.raw_value() & WXN == 0 {
        return Some("what is writable is executable: no SCTLR.WXN");
    }
    None
}
