//! A hostile other side: netback, by what is on the rings and in frames.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mayfly_xen::fuzz::net(bytes));
