//! Mayfly: a library operating system.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod config;
#[doc(hidden)]
pub mod macro_support;

pub use config::BootArguments;
pub use mayfly_macros::{BootArguments, main};
