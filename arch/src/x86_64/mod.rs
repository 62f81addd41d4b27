//! x86-64: booted by PVH, on QEMU's `microvm`, `pc` and `q35` machines.

mod apic;
mod boot;
pub mod clock;
pub mod console;
pub mod cpu;
mod cpuid;
mod exceptions;
pub mod hypercall;
mod image;
pub mod interrupts;
mod ioapic;
pub mod mmu;
mod pci;
pub mod power;

/// Name of this architecture, as `cargo xtask` and the console spell it.
pub const NAME: &str = "x86_64";
