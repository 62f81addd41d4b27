//! The generic timer: its virtual counter and its virtual timer (ARM DDI 0487 D12, DDI 0406C B8).

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use safe_mmio::{SharedMmioPointer, UniqueMmioPointer, fields::ReadPure};

use super::{mmu, ticks::Rate};
use crate::{
    PhysRange,
    machine::registers,
    xen::{self, SharedInfo},
};

/// The counter at boot.
static START: AtomicU64 = AtomicU64::new(0);
/// The parts of the counter's [`Rate`].
static TICK: AtomicU64 = AtomicU64::new(0);
static SHIFT: AtomicU32 = AtomicU32::new(0);
static INVERSE: AtomicU64 = AtomicU64::new(0);

/// Registers of the real-time clock, null if there is none.
static RTC: AtomicPtr<ReadPure<u32>> = AtomicPtr::new(core::ptr::null_mut());
/// Nanoseconds of the epoch at boot; 0 until somebody asks.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// Starts the time at `counter`, the value at the entry of the image.
pub(crate) fn init(counter: u64) {
    START.store(counter, Ordering::Relaxed);
    use_rate(Rate::new(registers::counter_frequency()));
}

/// Uses the frequency of the counter that the device tree has, if any. It is there where firmware
/// has set CNTFRQ wrong or not at all (Linux' binding arm,arch_timer). `false` if neither tells.
pub(crate) fn use_frequency(told: Option<u32>) -> bool {
    if let Some(frequency) = told {
        use_rate(Rate::new(frequency));
    }
    told.is_some() || registers::counter_frequency() != 0
}

fn use_rate(rate: Rate) {
    TICK.store(rate.tick, Ordering::Relaxed);
    SHIFT.store(rate.shift, Ordering::Relaxed);
    INVERSE.store(rate.inverse, Ordering::Relaxed);
}

fn rate() -> Rate {
    Rate {
        tick: TICK.load(Ordering::Relaxed),
        shift: SHIFT.load(Ordering::Relaxed),
        inverse: INVERSE.load(Ordering::Relaxed),
    }
}

/// Uses the PL031 real-time clock at `range`, which is that of [`Discovered::rtc`].
///
/// [`Discovered::rtc`]: crate::fdt::Discovered::rtc
pub(crate) fn use_rtc(range: PhysRange) {
    // ARM DDI 0224: the first register, RTCDR, counts seconds.
    if let Ok(registers) = mmu::map_device(range) {
        RTC.store(registers.as_ptr().cast(), Ordering::Relaxed);
    }
}

/// Nanoseconds since boot.
pub fn now() -> u64 {
    rate().nanoseconds(registers::counter().wrapping_sub(START.load(Ordering::Relaxed)))
}

/// Goes on from `time`, in nanoseconds since boot, whatever the counter has done meanwhile.
pub fn go_on_from(time: u64) {
    let start = registers::counter().wrapping_sub(rate().ticks(time));
    START.store(start, Ordering::Relaxed);
}

/// Raises [`Interrupt::Timer`](crate::Interrupt::Timer) once when the time since boot has reached
/// `deadline` nanoseconds, at once if it has already. `None` cancels. A new deadline replaces the
/// one before.
pub fn set_deadline(deadline: Option<u64>) {
    match deadline {
        None => registers::timer_stop(),
        Some(deadline) => {
            let start = START.load(Ordering::Relaxed);
            // Also switches the timer on, which Xen masks when it fires.
            registers::timer_start(start.saturating_add(rate().ticks(deadline)));
        }
    }
}

/// Xen's system time, as far as that concerns a guest: the time since its counter began, which is
/// when Xen made it. The time of day in the shared information is that of this moment, exact to a
/// second (xen/arch/arm/vtimer.c).
pub(crate) fn xen_system_time(_page: &SharedInfo) -> Option<u64> {
    Some(rate().nanoseconds(registers::counter()))
}

/// Nanoseconds since 1970-01-01 00:00 UTC, exact to a second, or `None` without a clock.
pub fn wall_clock() -> Option<u64> {
    if let Some(time) = xen::wall_clock() {
        return Some(time);
    }
    let pointer = core::ptr::NonNull::new(RTC.load(Ordering::Relaxed))?;
    let mut epoch = EPOCH.load(Ordering::Relaxed);
    if epoch == 0 {
        // SAFETY: the pointer comes from `map_device`, so it is device memory, mapped for ever, and
        // discovery has found the first register in it, aligned.
        let data: UniqueMmioPointer<'_, ReadPure<u32>> = unsafe { UniqueMmioPointer::new(pointer) };
        let seconds = SharedMmioPointer::from(data).read();
        epoch = (u64::from(seconds) * 1_000_000_000).saturating_sub(now()).max(1);
        EPOCH.store(epoch, Ordering::Relaxed);
    }
    Some(epoch.saturating_add(now()))
}

/// The generic timer needs no hypercall; Xen only masks it when it fires.
pub(crate) const TIMER_VIRQ: Option<u32> = None;

/// Never: see [`TIMER_VIRQ`].
pub(crate) fn use_xen_timer() -> bool {
    false
}

/// There are no such events: see [`TIMER_VIRQ`].
pub(crate) fn on_xen_timer() {}
