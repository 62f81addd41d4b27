//! Mayfly: a library operating system.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod block;
pub mod config;
pub mod console;
mod devices;
pub mod executor;
mod interrupts;
#[doc(hidden)]
pub mod macro_support;
pub mod memory;
pub mod time;

pub use config::BootArguments;
pub use executor::{JoinHandle, spawn, spawn_named};
pub use mayfly_macros::{BootArguments, main};
