//! The processor itself.

use core::arch::{
    asm,
    x86_64::{_rdrand64_step, _rdseed64_step, _rdtsc},
};

use x86_64::{
    instructions::interrupts,
    registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags},
};

use super::cpuid;

/// Tries of a random number instruction before it counts as failing: the number that Intel
/// recommends for RDRAND (Digital Random Number Generator Software Implementation Guide, 5.2.1).
const RANDOM_TRIES: u32 = 10;

/// Whether interrupts are delivered.
pub fn interrupts_enabled() -> bool {
    interrupts::are_enabled()
}

/// Switches interrupts off.
pub fn interrupts_disable() {
    interrupts::disable();
}

/// Switches interrupts on.
pub fn interrupts_enable() {
    interrupts::enable();
}

/// Halts until an interrupt has been handled. Called with interrupts off, returns with interrupts
/// off. An interrupt that is already pending is handled at once: there is no moment between
/// switching on and halting in which it could be missed.
pub fn wait_for_interrupt() {
    // STI takes effect after the instruction that follows it.
    interrupts::enable_and_hlt();
    interrupts::disable();
}

/// A number from the processor's random number generator, or `None` if it has none or the
/// generator fails.
pub fn hardware_random() -> Option<u64> {
    if cpuid::has_rdseed()
        // SAFETY: the processor has RDSEED.
        && let Some(value) = retry(|value| unsafe { rdseed(value) })
    {
        return Some(value);
    }
    if cpuid::has_rdrand() {
        // SAFETY: the processor has RDRAND.
        return retry(|value| unsafe { rdrand(value) });
    }
    None
}

fn retry(step: impl Fn(&mut u64) -> i32) -> Option<u64> {
    let mut value = 0;
    // All ones is what some AMD processors give, claiming success, after a resume from sleep.
    (0..RANDOM_TRIES).any(|_| step(&mut value) == 1 && value != u64::MAX).then_some(value)
}

#[target_feature(enable = "rdrand")]
fn rdrand(value: &mut u64) -> i32 {
    _rdrand64_step(value)
}

#[target_feature(enable = "rdseed")]
fn rdseed(value: &mut u64) -> i32 {
    _rdseed64_step(value)
}

/// Where the instruction is that execution goes on with after a return to `target`.
pub fn code_address(target: usize) -> usize {
    target
}

/// The frame pointer of the caller: where a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let value;
    // SAFETY: reads a register, touches nothing.
    unsafe { asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Executes an instruction that is defined to be undefined, which ends the guest with a report. It is
/// for the test of that.
#[inline(always)]
pub fn undefined_instruction() -> ! {
    // SAFETY: nothing behind it is executed: the handler of the exception does not return.
    unsafe { asm!("ud2", options(nomem, nostack, noreturn)) }
}

/// The time stamp counter. Its rate is whatever the machine has; see `clock` for time.
pub fn cycles() -> u64 {
    // SAFETY: every 64-bit processor has RDTSC, and CR4.TSD, which would forbid it, is clear.
    unsafe { _rdtsc() }
}

/// The first protection of memory that the processor has and that is off, and what that means; `None`
/// if all are on.
pub fn missing_protection() -> Option<&'static str> {
    if !Cr0::read().contains(Cr0Flags::WRITE_PROTECT) {
        return Some("the kernel may write to what is read-only: no CR0.WP");
    }
    if !Efer::read().contains(EferFlags::NO_EXECUTE_ENABLE) {
        return Some("everything is executable: no EFER.NXE");
    }
    let is_smep_on = Cr4::read().contains(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION);
    if cpuid::has_smep() && !is_smep_on {
        return Some("pages of user mode are executable: no CR4.SMEP");
    }
    None
}
