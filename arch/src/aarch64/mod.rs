//! AArch64: QEMU's `virt` machine and Xen, at EL1.

mod boot;
pub mod cpu;
mod esr;
mod exceptions;
pub mod hypercall;
pub(crate) mod layout;
mod memory;
pub(crate) mod registers;

pub use crate::arm::{clock, console, interrupts, mmu, power};

/// Name of this architecture, as `cargo xtask` and the console spell it.
pub const NAME: &str = "aarch64";
