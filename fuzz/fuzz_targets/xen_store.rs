//! A hostile other side: XenStore, by what is on its ring.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mayfly_xen::fuzz::store(bytes));
