//! A hostile other side: xenconsoled, by what is on the console's page.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mayfly_xen::fuzz::console(bytes));
