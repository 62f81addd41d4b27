//! A hostile other side: the other end of a vchan, by what is on its pages.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mayfly_xen::fuzz::vchan(bytes));
