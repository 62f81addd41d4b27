//! The local APIC (Intel SDM volume 3, chapter 10): by MSRs where it is an x2APIC, else in memory.

use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use x86_64::registers::model_specific::Msr;

use super::{cpuid, mmu};
use crate::{PAGE_SIZE, PhysAddr, PhysRange};

/// Registers, by their offset in memory; the MSR of an x2APIC is `0x800 + offset / 16`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Register {
    Id = 0x20,
    EndOfInterrupt = 0xb0,
    Spurious = 0xf0,
    Command = 0x300,
    TimerVector = 0x320,
    Lint0 = 0x350,
    Lint1 = 0x360,
    TimerInitial = 0x380,
    TimerCurrent = 0x390,
    TimerDivide = 0x3e0,
}

/// In a local vector table entry: delivers nothing.
pub(super) const MASKED: u32 = 1 << 16;

/// In the spurious vector register: the APIC is on.
const SOFTWARE_ENABLE: u32 = 1 << 8;

/// In the interrupt command: to oneself.
const TO_SELF: u32 = 1 << 18;

const APIC_BASE: Msr = Msr::new(0x1b);
const GLOBAL_ENABLE: u64 = 1 << 11;
const X2APIC_ENABLE: u64 = 1 << 10;
const X2APIC_FIRST: u32 = 0x800;

/// The registers in memory, or null for an x2APIC.
static REGISTERS: AtomicPtr<u32> = AtomicPtr::new(ptr::null_mut());

/// Switches the local APIC on, with every local source masked and `spurious` as the vector of
/// interrupts that went away.
pub(super) fn init(spurious: u8) -> Result<(), mmu::MapError> {
    // SAFETY: every 64-bit processor has this MSR; boot.S has checked for an APIC.
    let mut base = unsafe { APIC_BASE.read() };
    if cpuid::has_x2apic() || base & X2APIC_ENABLE != 0 {
        base |= GLOBAL_ENABLE | X2APIC_ENABLE;
    } else {
        base |= GLOBAL_ENABLE;
        let page = PhysAddr(base).frame_start().0 & (mmu::physical_limit().0 - 1);
        let range = PhysRange::new(PhysAddr(page), PAGE_SIZE as u64);
        let registers = mmu::map_device(range.ok_or(mmu::MapError::BadRange)?)?;
        REGISTERS.store(registers.as_ptr().cast(), Ordering::Relaxed);
    }
    // SAFETY: only enable bits are set, and the x2APIC one only where there is one.
    unsafe { Msr::new(0x1b).write(base) };
    write(Register::TimerVector, MASKED);
    write(Register::Lint0, MASKED);
    write(Register::Lint1, MASKED);
    write(Register::Spurious, SOFTWARE_ENABLE | u32::from(spurious));
    Ok(())
}

/// Reads a register.
pub(super) fn read(register: Register) -> u32 {
    let base = REGISTERS.load(Ordering::Relaxed);
    if base.is_null() {
        // SAFETY: the APIC is an x2APIC, which has this MSR; reading it changes nothing.
        return unsafe { Msr::new(X2APIC_FIRST + register as u32 / 16).read() } as u32;
    }
    // SAFETY: `init` mapped a page of registers at `base`; offsets are within it and aligned.
    unsafe { base.byte_add(register as usize).read_volatile() }
}

/// Writes a register.
pub(super) fn write(register: Register, value: u32) {
    let base = REGISTERS.load(Ordering::Relaxed);
    if base.is_null() {
        // SAFETY: as in `read`; what is written concerns interrupts only.
        unsafe { Msr::new(X2APIC_FIRST + register as u32 / 16).write(value.into()) };
    } else {
        // SAFETY: as in `read`; what is written concerns interrupts only.
        unsafe { base.byte_add(register as usize).write_volatile(value) };
    }
}

/// The id that interrupts for this processor are addressed to. At most 255, or 0, which is the boot
/// processor of every hypervisor, where it does not fit.
pub(super) fn id() -> u8 {
    let id = read(Register::Id);
    if REGISTERS.load(Ordering::Relaxed).is_null() {
        u8::try_from(id).unwrap_or(0)
    } else {
        (id >> 24) as u8
    }
}

/// Ends the interrupt that is being handled.
pub(super) fn end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

/// Sends this processor an interrupt.
pub(super) fn interrupt_self(vector: u8) {
    write(Register::Command, TO_SELF | u32::from(vector));
}
