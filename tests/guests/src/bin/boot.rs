//! Boots with every amount of memory, processor and machine, and uses the memory that is there.
//@ memory: least 8M 64M 513M 3G 8G
//@ cpu: default max
//@ smp: 4
//@ network: none
#![no_std]
#![no_main]

use guests::check;
use mayfly::{
    Result,
    alloc::vec::Vec,
    memory::{self, PAGE_SIZE},
};

/// Free frames that even the machine with the least memory has: 1 MiB.
const LEAST: usize = 256;

#[mayfly::main]
async fn main() -> Result {
    let stats = memory::stats();
    mayfly::println!("{stats}");
    check(stats.free_frames > LEAST, "less than 1 MiB is free")?;
    check(stats.free_frames <= stats.total_frames, "more is free than there is")?;
    // More is no block of memory to Rust.
    use_all_over(stats.longest_free_run.min(isize::MAX.unsigned_abs() / PAGE_SIZE) * PAGE_SIZE)?;
    guests::pass()
}

/// Writes to places all over a block of so many bytes, and finds there what was written.
fn use_all_over(size: usize) -> Result {
    const PLACES: usize = 32;
    let mut block: Vec<u8> = Vec::new();
    check(block.try_reserve_exact(size).is_ok(), "what is free in one piece is not to be had")?;
    let places = || (0..PLACES).map(|place| (size / PLACES * place, 0xa5 ^ place as u8));
    let spare = block.spare_capacity_mut();
    for (at, value) in places() {
        spare[at].write(value);
    }
    for (at, value) in places() {
        // SAFETY: it was written just now.
        let found = unsafe { core::hint::black_box(&mut *spare)[at].assume_init_read() };
        check(found == value, "memory does not keep what is written to it")?;
    }
    Ok(())
}
