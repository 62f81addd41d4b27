//! KVM's paravirtual clock (Linux, Documentation/virt/kvm/x86/msr.rst and cpuid.rst): asked once for
//! the rate of the TSC, and once for the time of day.

use core::cell::UnsafeCell;

use x86_64::registers::model_specific::Msr;

use super::rate::Rate;
use crate::machine::{cpu, cpuid, mmu};

const WALL_CLOCK: u32 = 0x4b56_4d00;
const SYSTEM_TIME: u32 = 0x4b56_4d01;

/// In leaf base + 1: both MSRs are there.
const FEATURE_CLOCK: u32 = 1 << 3;

/// In the value of the MSR: keep the structure up to date.
const ENABLE: u64 = 1;

/// Reads of a structure until it is found at rest. KVM writes it while the guest is stopped, so the
/// first one succeeds.
const TRIES: u32 = 8;

/// `struct pvclock_vcpu_time_info`, as words; the wall clock is three of them.
#[repr(C, align(32))]
struct Shared(UnsafeCell<[u32; 8]>);

// SAFETY: read and written as whole words by volatile accesses only.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new([0; 8]));

/// Whether the KVM whose leaves start at `base` has the clock.
fn is_present(base: u32) -> bool {
    cpuid::leaf(base + 1, 0).is_some_and(|leaf| leaf.eax & FEATURE_CLOCK != 0)
}

/// The rate of the TSC.
pub(super) fn rate(base: u32) -> Option<Rate> {
    let words = ask(base, SYSTEM_TIME, ENABLE)?;
    Rate::from_paravirtual(words[6], words[7] as i8)
}

/// Nanoseconds since 1970 at this moment.
pub(super) fn wall_clock(base: u32) -> Option<u64> {
    let [_, seconds, nanoseconds, ..] = ask(base, WALL_CLOCK, 0)?;
    let system = ask(base, SYSTEM_TIME, ENABLE)?;
    let long = |low: usize| u64::from(system[low]) | u64::from(system[low + 1]) << 32;
    let (tsc, time) = (long(2), long(4));
    let rate = Rate::from_paravirtual(system[6], system[7] as i8)?;
    let since_boot = time.checked_add(rate.nanoseconds(cpu::cycles().saturating_sub(tsc)))?;
    u64::from(seconds)
        .checked_mul(1_000_000_000)?
        .checked_add(nanoseconds.into())?
        .checked_add(since_boot)
}

/// Has KVM fill in the structure that `msr` names, once.
fn ask(base: u32, msr: u32, enable: u64) -> Option<[u32; 8]> {
    if !is_present(base) {
        return None;
    }
    let pointer = SHARED.0.get();
    let address = mmu::virt_to_phys(pointer.cast())?.0;
    // SAFETY: KVM has this MSR and writes at most the 32 bytes of `SHARED`, which are its to write.
    unsafe { Msr::new(msr).write(address | enable) };
    let read = || {
        // SAFETY: `SHARED` is valid for reads; KVM may write it at any time, hence volatile.
        unsafe { pointer.read_volatile() }
    };
    let mut found = None;
    for _ in 0..TRIES {
        let words = read();
        // The version is odd while the rest is written.
        if words[0] & 1 == 0 && words == read() {
            found = Some(words);
            break;
        }
    }
    if enable != 0 {
        // SAFETY: KVM writes to `SHARED` no more.
        unsafe { Msr::new(msr).write(0) };
    }
    found
}
