//! Mayfly: a library operating system.
#![cfg_attr(target_os = "none", no_std)]

#[doc(hidden)]
pub extern crate alloc;

pub mod block;
#[cfg(target_os = "none")]
mod boot;
pub mod chart;
pub mod config;
pub mod console;
mod devices;
mod error;
pub mod executor;
#[cfg(not(target_os = "none"))]
mod host;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "a process has no interrupts"))]
mod interrupts;
mod launch;
pub mod log;
mod machine;
#[doc(hidden)]
pub mod macro_support;
pub mod memory;
pub mod net;
pub mod power;
pub mod random;
#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod symbols;
pub mod sync;
pub mod time;

pub use config::BootArguments;
pub use error::{Error, Result};
pub use executor::{JoinHandle, spawn, spawn_named, yield_now};
#[cfg(not(target_os = "none"))]
#[doc(hidden)]
pub use host::host_main;
pub use machine::Machine;
pub use mayfly_macros::{BootArguments, main};
