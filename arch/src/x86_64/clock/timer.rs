//! The timer of the local APIC: counting down to zero, or waiting for a value of the TSC.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use x86_64::registers::model_specific::Msr;

use super::calibration::{Reading, Stretch};
use crate::machine::{
    apic::{self, MASKED, Register},
    cpu, interrupts,
};

// Modes in the local vector table (Intel SDM volume 3, 10.5.4).
const ONE_SHOT: u32 = 0 << 17;
const PERIODIC: u32 = 1 << 17;
const TSC_DEADLINE: u32 = 2 << 17;

/// IA32_TSC_DEADLINE.
const TSC_DEADLINE_MSR: u32 = 0x6e0;

/// Tries to deal with both clocks before something comes between.
const TRIES: u32 = 3;

/// How far the timer's input is divided: the shift, and how the register spells it.
///
/// The input has a tick each nanosecond, or each ten: see [`use_slow_input`].
#[derive(Clone, Copy)]
pub(super) struct Divider {
    pub(super) shift: u32,
    encoded: u32,
}

impl Divider {
    /// Up to 4.2 s, if a tick is a nanosecond.
    const FINE: Self = Self { shift: 0, encoded: 0b1011 };
    /// Up to 68 s.
    pub(super) const MEDIUM: Self = Self { shift: 4, encoded: 0b0011 };
    /// Up to 549 s.
    const COARSE: Self = Self { shift: 7, encoded: 0b1010 };
}

/// Whether the processor compares the TSC by itself.
static USES_TSC: AtomicBool = AtomicBool::new(false);

/// Nanoseconds in a tick of the input. QEMU and KVM both count nanoseconds, whatever CPU they show.
static TICK: AtomicU32 = AtomicU32::new(1);

// What was last written to the vector and divide registers, not to write the same again.
static VECTOR: AtomicU32 = AtomicU32::new(u32::MAX);
static DIVIDE: AtomicU32 = AtomicU32::new(u32::MAX);

/// Makes the timer wait for values of the TSC.
pub(super) fn use_tsc() {
    USES_TSC.store(true, Ordering::Relaxed);
    write_vector(TSC_DEADLINE | u32::from(interrupts::TIMER));
}

/// Counts at 100 MHz from now on, as Xen does (`APIC_BUS_CYCLE_NS` in xen/arch/x86).
pub(super) fn use_slow_input() {
    TICK.store(10, Ordering::Relaxed);
}

/// Whether the timer waits for values of the TSC.
pub(super) fn uses_tsc() -> bool {
    USES_TSC.load(Ordering::Relaxed)
}

/// Raises the timer interrupt when the TSC reaches `ticks`, at once if it has; 0 never does. For
/// after [`use_tsc`].
pub(super) fn wait_for_tsc(ticks: u64) {
    // SAFETY: the processor has this mode, `use_tsc` was called; the write concerns the timer only.
    unsafe { Msr::new(TSC_DEADLINE_MSR).write(ticks) };
}

/// How the counter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Once, then an interrupt.
    Once,
    /// For ever, an interrupt at each end. Not for counts of less than a millisecond.
    Again,
    /// For ever, silently.
    Silent,
}

/// Starts the counter so that it ends after `nanoseconds`, or earlier if that is beyond its reach.
pub(super) fn count_down(nanoseconds: u64, run: Run) -> Stretch {
    let ticks = nanoseconds / u64::from(TICK.load(Ordering::Relaxed));
    let divider = match ticks {
        0..0xffff_ffff => Divider::FINE,
        0xffff_ffff..0xf_0000_0000 => Divider::MEDIUM,
        _ => Divider::COARSE,
    };
    let count = u32::try_from((ticks >> divider.shift) + 1).unwrap_or(u32::MAX);
    start(count, divider, run)
}

/// Starts the counter with `count`.
pub(super) fn start(count: u32, divider: Divider, run: Run) -> Stretch {
    // At no time may a short count, the one before or this one, run again and again: each end is an
    // interrupt, which costs the hypervisor more than such a count lasts. QEMU then comes to nothing
    // else, not even to the next line.
    if run == Run::Once {
        set_vector(run);
    }
    if DIVIDE.load(Ordering::Relaxed) != divider.encoded {
        DIVIDE.store(divider.encoded, Ordering::Relaxed);
        apic::write(Register::TimerDivide, divider.encoded);
    }
    let start = time(|| {
        apic::write(Register::TimerInitial, count);
        count
    });
    if run != Run::Once {
        set_vector(run);
    }
    let unit = TICK.load(Ordering::Relaxed) << divider.shift;
    Stretch { start, unit, again: run != Run::Once }
}

/// Starts the counter with `count`, again if something came between that and reading the TSC.
pub(super) fn start_sharply(count: u32, divider: Divider, run: Run) -> Stretch {
    let mut stretch = start(count, divider, run);
    for _ in 1..TRIES {
        // It takes about as long to read the counter as to write it.
        if stretch.start.took <= observe().took.saturating_mul(4) {
            break;
        }
        stretch = start(count, divider, run);
    }
    stretch
}

/// Stops a counter that runs [`Run::Once`].
pub(super) fn stop() {
    apic::write(Register::TimerInitial, 0);
}

/// Lets the counter run on, as it runs, without interrupts.
pub(super) fn silence() {
    write_vector(VECTOR.load(Ordering::Relaxed) | MASKED);
}

/// Reads TSC and counter at the same time, as nearly as can be.
pub(super) fn observe() -> Reading {
    let mut best = Reading { tsc: 0, took: u64::MAX, count: 0 };
    for _ in 0..TRIES {
        let reading = time(|| apic::read(Register::TimerCurrent));
        if reading.took < best.took {
            best = reading;
        }
    }
    best
}

/// Does something with the counter, which it returns, between two readings of the TSC.
fn time(f: impl FnOnce() -> u32) -> Reading {
    let before = cpu::cycles();
    let count = f();
    let took = cpu::cycles().saturating_sub(before);
    Reading { tsc: before.saturating_add(took / 2), took, count }
}

fn set_vector(run: Run) {
    let mode = match run {
        Run::Once => ONE_SHOT,
        Run::Again => PERIODIC,
        Run::Silent => PERIODIC | MASKED,
    };
    write_vector(mode | u32::from(interrupts::TIMER));
}

fn write_vector(value: u32) {
    if VECTOR.load(Ordering::Relaxed) != value {
        VECTOR.store(value, Ordering::Relaxed);
        apic::write(Register::TimerVector, value);
    }
}
