//! Time: nanoseconds since boot from the TSC, one deadline from the timer of the local APIC, or from
//! that of Xen.
//!
//! The rate of the TSC comes from KVM's clock, Xen or CPUID where they tell it. Otherwise, as under
//! emulation, it is learnt from the APIC timer while the guest runs (`calibration`): nobody waits.
//! A better rate changes how fast `now` goes on from where it is, so it never jumps.

mod calendar;
mod calibration;
mod kvm;
mod rate;
mod rtc;
mod timer;
mod xen;

pub(crate) use xen::{TIMER_VIRQ, system_time as xen_system_time};

use core::sync::atomic::{AtomicU64, Ordering};

use super::{cpu, cpuid};
use crate::{Hypervisor, IrqLock, in_interrupt};
use calibration::Calibration;
use rate::Rate;
use timer::{Divider, Run};

// `now` is BASE_TIME plus what RATE makes of the ticks since BASE_TICKS. Written with interrupts
// off and not by interrupt handlers, so that these see all three fit together, as tasks do.
static BASE_TICKS: AtomicU64 = AtomicU64::new(0);
static BASE_TIME: AtomicU64 = AtomicU64::new(0);
static RATE: AtomicU64 = AtomicU64::new(0);

/// The TSC at which the rate is to be refined; never, once it is known.
static REFINE_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// What is being learnt, until it is known.
static CALIBRATION: IrqLock<Option<Calibration>> = IrqLock::new(None);

/// The deadline that the timer is set for, or `NEVER`.
static DEADLINE: AtomicU64 = AtomicU64::new(NEVER);
const NEVER: u64 = u64::MAX;

/// Deadlines less far away than this, in nanoseconds, teach nothing if they are reached.
const SHORT_DEADLINE: u64 = 1_000_000;

/// The rate for the first microseconds, before there is any reading: 4 GHz.
const PROVISIONAL: Rate = Rate(1 << 30);

/// First CPUID leaf of KVM, or 0 if the hypervisor is another.
static KVM_LEAVES: AtomicU64 = AtomicU64::new(0);

/// Wall clock time at time 0, or 0 while nobody has asked.
static WALL_CLOCK_AT_BOOT: AtomicU64 = AtomicU64::new(0);

/// Starts the clock at 0.
pub(super) fn init(hypervisor: Hypervisor, leaves: u32) {
    let kvm = hypervisor == Hypervisor::Kvm;
    KVM_LEAVES.store(if kvm { leaves.into() } else { 0 }, Ordering::Relaxed);
    if hypervisor == Hypervisor::Xen {
        timer::use_slow_input();
    }
    let known = match hypervisor {
        Hypervisor::Kvm => kvm::rate(leaves),
        Hypervisor::Xen => xen::rate(leaves),
        _ => None,
    };
    match known.or_else(|| rate_from_cpuid(hypervisor, leaves)) {
        Some(rate) => {
            BASE_TICKS.store(cpu::cycles(), Ordering::Relaxed);
            RATE.store(rate.0, Ordering::Relaxed);
            if cpuid::has_tsc_deadline() {
                timer::use_tsc();
            }
        }
        None => CALIBRATION.with(|calibration| {
            let stretch = timer::start_sharply(u32::MAX, Divider::MEDIUM, Run::Silent);
            *calibration = Some(Calibration::new(stretch));
            BASE_TICKS.store(stretch.start.tsc, Ordering::Relaxed);
            REFINE_AT.store(0, Ordering::Relaxed);
        }),
    }
}

/// The rate of the TSC as CPUID states it.
fn rate_from_cpuid(hypervisor: Hypervisor, leaves: u32) -> Option<Rate> {
    // VMware's leaf, which QEMU has too (`vmware-cpuid-freq`): kHz.
    let generic = (hypervisor != Hypervisor::Unknown)
        .then(|| cpuid::leaf(leaves + 0x10, 0))
        .flatten()
        .and_then(|leaf| Rate::from_hertz(u64::from(leaf.eax) * 1000));
    // Intel's: crystal clock in Hz, ratio (Intel SDM volume 3, 18.7.3).
    let intel = || {
        let leaf = cpuid::leaf(0x15, 0)?;
        let hertz = u64::from(leaf.ecx) * u64::from(leaf.ebx);
        Rate::from_hertz(hertz.checked_div(leaf.eax.into())?)
    };
    generic.or_else(intel)
}

/// Nanoseconds since boot. Never goes back.
pub fn now() -> u64 {
    let ticks = cpu::cycles();
    if ticks >= REFINE_AT.load(Ordering::Relaxed) && !in_interrupt() {
        refine_now();
    }
    time_at(ticks)
}

/// Goes on from `time`, in nanoseconds since boot, when the guest was suspended meanwhile: it may be
/// on another machine, whose TSC has another value and another rate. The deadline is to be set again.
/// To be called with interrupts off.
pub fn go_on_from(time: u64) {
    BASE_TIME.store(time, Ordering::Relaxed);
    BASE_TICKS.store(cpu::cycles(), Ordering::Relaxed);
    xen::leave_timer();
    if let (Hypervisor::Xen, leaves) = cpuid::hypervisor()
        && let Some(rate) = xen::rate(leaves)
    {
        RATE.store(rate.0, Ordering::Relaxed);
    }
    DEADLINE.store(NEVER, Ordering::Relaxed);
    CALIBRATION.with(|calibration| {
        if let Some(calibration) = calibration {
            let stretch = timer::start_sharply(u32::MAX, Divider::MEDIUM, Run::Silent);
            calibration.restart(None, stretch);
            REFINE_AT.store(0, Ordering::Relaxed);
        }
    });
}

/// Refines the rate, which is done now and then until it is known.
#[cold]
#[inline(never)]
fn refine_now() {
    // The lock is taken if the fault report asks for the time of a fault in here.
    let _ = CALIBRATION.try_with(refine);
}

/// The time at a value of the TSC, not before the last refinement.
#[inline(always)]
fn time_at(ticks: u64) -> u64 {
    let ticks = ticks.saturating_sub(BASE_TICKS.load(Ordering::Relaxed));
    let since = Rate(RATE.load(Ordering::Relaxed)).nanoseconds(ticks);
    BASE_TIME.load(Ordering::Relaxed).saturating_add(since)
}

/// Takes what has been learnt into account from now on.
fn refine(calibration: &mut Option<Calibration>) {
    let Some(known) = calibration else { return };
    let reading = timer::observe();
    let next = known.look(reading);
    let first = RATE.load(Ordering::Relaxed) == 0;
    if !first {
        BASE_TIME.store(time_at(reading.tsc), Ordering::Relaxed);
        BASE_TICKS.store(reading.tsc, Ordering::Relaxed);
    }
    let rate = known.rate().unwrap_or(PROVISIONAL);
    RATE.store(rate.0, Ordering::Relaxed);
    REFINE_AT.store(next, Ordering::Relaxed);
    if known.is_enough() {
        REFINE_AT.store(u64::MAX, Ordering::Relaxed);
        *calibration = None;
    }
}

/// Raises the timer interrupt at `deadline`, in nanoseconds since boot, or at once if that has
/// passed; `None` for no more interrupt. Replaces the deadline before.
pub fn set_deadline(deadline: Option<u64>) {
    let deadline = deadline.unwrap_or(NEVER);
    // The timer is set for it already, or silent, or the interrupt is on its way.
    if DEADLINE.load(Ordering::Relaxed) != deadline {
        DEADLINE.store(deadline, Ordering::Relaxed);
        set_timer(deadline);
    }
}

/// Leaves deadlines to Xen from now on, whose event [`on_xen_timer`] is to be called for. False if it
/// stays as it is: Xen has no timer for us, or that of the APIC is needed to learn the rate.
pub(crate) fn use_xen_timer() -> bool {
    if CALIBRATION.with(|calibration| calibration.is_some()) || !xen::use_timer() {
        return false;
    }
    if timer::uses_tsc() {
        timer::wait_for_tsc(0)
    } else {
        timer::stop()
    }
    DEADLINE.store(NEVER, Ordering::Relaxed);
    true
}

/// Handles the event of Xen's timer.
pub(crate) fn on_xen_timer() {
    on_timer();
}

/// Sets the timer for `deadline`, or for never.
fn set_timer(deadline: u64) {
    let ticks = cpu::cycles();
    let left = if deadline == NEVER { NEVER } else { deadline.saturating_sub(time_at(ticks)) };
    if xen::has_timer() {
        if xen::set_timer((left != NEVER).then_some(left)) {
            return;
        }
        xen::leave_timer();
    }
    if timer::uses_tsc() {
        timer::wait_for_tsc(tsc_at(deadline));
        return;
    }
    CALIBRATION.with(|calibration| match calibration {
        None if deadline == NEVER => timer::stop(),
        None => _ = timer::count_down(left, Run::Once),
        Some(calibration) => {
            let end = calibration.is_worth_a_look(ticks).then(timer::observe);
            let run = match left {
                NEVER => Run::Silent,
                // What runs again must not do so before it can be silenced, and needs a rate.
                0..SHORT_DEADLINE => Run::Once,
                _ if !calibration.is_useful() => Run::Once,
                _ => Run::Again,
            };
            calibration.restart(end, timer::count_down(left, run));
        }
    });
}

/// The TSC at `deadline`, at least 1, or 0 for [`NEVER`].
fn tsc_at(deadline: u64) -> u64 {
    if deadline == NEVER {
        return 0;
    }
    let after = deadline.saturating_sub(BASE_TIME.load(Ordering::Relaxed));
    let ticks = Rate(RATE.load(Ordering::Relaxed)).ticks(after);
    BASE_TICKS.load(Ordering::Relaxed).saturating_add(ticks)
}

/// Handles the timer interrupt. `true` if the deadline has passed; if it has not, because the timer
/// does not reach that far or was early, it is set again.
pub(super) fn on_timer() -> bool {
    let deadline = DEADLINE.load(Ordering::Relaxed);
    if deadline != NEVER && now() < deadline {
        set_timer(deadline);
        return false;
    }
    DEADLINE.store(NEVER, Ordering::Relaxed);
    CALIBRATION.with(|calibration| {
        if calibration.is_some() {
            timer::silence();
        }
    });
    deadline != NEVER
}

/// Nanoseconds since 1970-01-01 00:00 UTC, or `None` where no clock tells it. From the clock of Xen
/// or KVM or, to the second, the real-time clock; the last two are read when first asked for.
pub fn wall_clock() -> Option<u64> {
    if let Some(time) = crate::xen::wall_clock() {
        return Some(time);
    }
    let mut at_boot = WALL_CLOCK_AT_BOOT.load(Ordering::Relaxed);
    if at_boot == 0 {
        let kvm = KVM_LEAVES.load(Ordering::Relaxed) as u32;
        let time = if kvm == 0 { None } else { kvm::wall_clock(kvm) }.or_else(rtc::read)?;
        at_boot = time.checked_sub(now())?;
        WALL_CLOCK_AT_BOOT.store(at_boot, Ordering::Relaxed);
    }
    at_boot.checked_add(now())
}
