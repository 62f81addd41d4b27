//! What Xen says about the TSC (xen/include/public/arch-x86/cpuid.h), its clock (`struct
//! vcpu_time_info` in xen/include/public/xen.h), and its timer (xen/include/public/vcpu.h).

use core::sync::atomic::{AtomicBool, Ordering};

use super::rate::Rate;
use crate::{
    hypercall,
    machine::{cpu, cpuid},
    xen::{
        SharedInfo,
        time::{read_versioned, shared_info},
    },
};

/// `VIRQ_TIMER` (xen/include/public/xen.h).
pub(crate) const TIMER_VIRQ: Option<u32> = Some(0);

/// Hypercall `vcpu_op` (xen/include/public/xen.h).
const VCPU_OP: usize = 24;

/// Commands about a vCPU's timers (`VCPUOP_*`).
#[derive(Clone, Copy)]
enum Command {
    StopPeriodic = 7,
    SetSingleShot = 8,
    StopSingleShot = 9,
}

/// `struct vcpu_set_singleshot_timer`: nanoseconds of Xen's system time, and no flags, so that a time
/// that has passed is one at once.
#[repr(C)]
struct SingleShot {
    timeout: u64,
    flags: u32,
}

/// Where the clock is in the shared information: that of the first vCPU.
const TIME_INFO: usize = 0x20;

/// The longest that the timer is set for, in nanoseconds: a year. Xen's times are signed, and what is
/// far away would be long ago.
const REACH: u64 = 365 * 24 * 3600 * 1_000_000_000;

/// Whether deadlines are Xen's business.
static HAS_TIMER: AtomicBool = AtomicBool::new(false);

/// Whether Xen's timer is used.
pub(super) fn has_timer() -> bool {
    HAS_TIMER.load(Ordering::Relaxed)
}

/// Uses Xen's timer from now on. False if it has none for us.
pub(super) fn use_timer() -> bool {
    // A new vCPU may have a timer that ticks.
    let stop = [Command::StopPeriodic, Command::StopSingleShot];
    let stopped = stop.into_iter().all(|command| vcpu_op(command, 0));
    HAS_TIMER.store(stopped, Ordering::Relaxed);
    stopped
}

/// Uses it no more: it has failed, or the guest is in another domain, where nobody has asked for its
/// events yet.
pub(super) fn leave_timer() {
    HAS_TIMER.store(false, Ordering::Relaxed);
}

/// Sends the event `VIRQ_TIMER` in so many nanoseconds, or earlier if that is beyond its reach, or no
/// more. False if Xen does not.
pub(super) fn set_timer(left: Option<u64>) -> bool {
    let Some(left) = left else { return vcpu_op(Command::StopSingleShot, 0) };
    let now = shared_info().and_then(|(page, _)| system_time(page));
    // If Xen were just writing its clock the event comes at once, and this is tried again.
    let timeout = now.map_or(0, |now| now.saturating_add(left.min(REACH)));
    let argument = SingleShot { timeout, flags: 0 };
    vcpu_op(Command::SetSingleShot, (&raw const argument).expose_provenance())
}

/// Has Xen do something with the timers of the first vCPU. False if it does not.
fn vcpu_op(command: Command, argument: usize) -> bool {
    // SAFETY: only what runs on Xen uses its timer. The commands read their argument, which
    // `set_timer` has on its stack, and write no memory.
    unsafe { hypercall::call(VCPU_OP, [command as usize, 0, argument, 0, 0]) == 0 }
}

/// The rate of the TSC, from the leaf of time: as multiplier and shift, or in kHz.
pub(super) fn rate(base: u32) -> Option<Rate> {
    let scale = || {
        let leaf = cpuid::leaf(base + 3, 1)?;
        Rate::from_paravirtual(leaf.ecx, leaf.edx as i8)
    };
    let kilohertz = || {
        let leaf = cpuid::leaf(base + 3, 0)?;
        Rate::from_hertz(u64::from(leaf.ecx) * 1000)
    };
    scale().or_else(kilohertz)
}

/// Nanoseconds since Xen was booted. `None` if Xen has not written its clock.
pub(crate) fn system_time(page: &SharedInfo) -> Option<u64> {
    let [_, tsc, tsc_high, time, time_high, multiplier, shift] = read_versioned(page, TIME_INFO)?;
    let long = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let ticks = cpu::cycles().saturating_sub(long(tsc, tsc_high));
    let since = Rate::from_paravirtual(multiplier, shift as i8)?.nanoseconds(ticks);
    long(time, time_high).checked_add(since)
}
