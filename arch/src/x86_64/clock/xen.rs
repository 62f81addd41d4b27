//! What Xen says about the TSC (xen/include/public/arch-x86/cpuid.h), and its clock (`struct
//! vcpu_time_info` in xen/include/public/xen.h).

use super::rate::Rate;
use crate::{
    machine::{cpu, cpuid},
    xen::{SharedInfo, time::read_versioned},
};

/// Where the clock is in the shared information: that of the first vCPU.
const TIME_INFO: usize = 0x20;

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
