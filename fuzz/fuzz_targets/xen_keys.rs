//! A hostile other side: the nodes of devices.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mayfly_xen::fuzz::keys(bytes));
