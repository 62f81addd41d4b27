//! Mayfly: a library operating system.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;
