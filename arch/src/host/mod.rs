//! A Linux process in the place of a machine: for development on Unix and for tests.

pub mod clock;
pub mod console;
pub mod cpu;
pub mod hypercall;
pub mod interrupts;
pub mod mmu;
pub mod poll;
pub mod power;
pub mod simulation;

/// Name of this architecture, as `cargo xtask` and the console spell it.
pub const NAME: &str = "unix";
