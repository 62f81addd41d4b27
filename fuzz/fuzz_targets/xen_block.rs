//! A hostile other side: blkback, by what is on the ring.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| mayfly_xen::fuzz::block(bytes));
