//! What ARMv7 and AArch64 have in common.
//!
//! Both have the same page-table format (with LPAE), interrupt controllers, timer, power interface
//! and device tree. What differs is behind two modules that each of them defines: `layout`, where
//! the windows of the address space are, and `registers`, system registers, barriers and calls as
//! functions with the same names. Modules that know no hardware are also built for host tests.

#![cfg_attr(not(target_os = "none"), allow(dead_code, reason = "host tests use parts only"))]

pub(crate) mod abort;
mod acknowledged;
pub(crate) mod descriptor;
pub(crate) mod memory_map;
mod seal;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
mod ticks;

#[cfg(target_os = "none")]
mod boot_error;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub(crate) mod fault_path;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
pub mod interrupts;
#[cfg(target_os = "none")]
pub mod mmu;
#[cfg(target_os = "none")]
mod pool;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
mod ram;
#[cfg(target_os = "none")]
pub(crate) mod start;
