//! Discovery from a device tree: any bytes give a machine or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mayfly_arch::fdt::{discover, total_size};

fuzz_target!(|bytes: &[u8]| {
    if let Some(start) = bytes.first_chunk() {
        let _ = total_size(start);
    }
    // A tree starts on a multiple of 8 and stays where it is; this one only for this round.
    let mut words = vec![0_u64; bytes.len().div_ceil(8)].into_boxed_slice();
    let tree = words.as_mut_ptr().cast::<u8>();
    // SAFETY: `words` holds at least `bytes.len()` bytes, and outlives `tree`: what discovery
    // returns may point into it, and is dropped before it.
    let tree: &'static [u8] = unsafe {
        tree.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        core::slice::from_raw_parts(tree, bytes.len())
    };
    drop(discover(tree));
    drop(words);
});
