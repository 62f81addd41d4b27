//! Copying memory.

use core::arch::global_asm;

global_asm!(include_str!("memory.S"), options(raw));
