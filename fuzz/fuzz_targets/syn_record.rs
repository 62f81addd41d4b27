//! Records of connections: any values of their nodes give a record or an error that can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| mayfly::xen::read_lines(text));
