//! ARMv7-A with the large physical address extension: QEMU's `virt` machine and Xen, in SVC mode.

mod boot;
pub mod cpu;
mod exceptions;
mod fsr;
pub mod hypercall;
pub(crate) mod layout;
mod memory;
pub(crate) mod registers;

pub use crate::arm::{clock, console, interrupts, mmu, power};

/// Name of this architecture, as `cargo xtask` and the console spell it.
pub const NAME: &str = "armv7";
