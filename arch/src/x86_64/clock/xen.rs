//! What Xen says about the TSC (xen/include/public/arch-x86/cpuid.h).

use super::rate::Rate;
use crate::machine::cpuid;

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
