//! The heap gives back what it got, and asking for too much is an error.
//@ machine: microvm gic3 xen
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{
    Result,
    alloc::{boxed::Box, vec::Vec},
    memory,
};

#[mayfly::main]
async fn main() -> Result {
    // The first time, the heap keeps some frames at hand.
    allocate_and_free()?;
    let before = memory::stats().free_frames;
    for _ in 0..3 {
        allocate_and_free()?;
    }
    check(memory::stats().free_frames >= before, "freed memory did not come back")?;

    let before = before * memory::PAGE_SIZE;
    let mut huge: Vec<u8> = Vec::new();
    check(huge.try_reserve_exact(before + (1 << 20)).is_err(), "more memory than there is")?;
    check(huge.try_reserve_exact(before / 4).is_ok(), "a quarter of the memory is not to be had")?;
    guests::pass()
}

/// Allocates blocks of many sizes, checks that none overlaps another, and frees them.
fn allocate_and_free() -> Result {
    for round in 1..=20_usize {
        let blocks: Vec<Box<[u8]>> =
            (1..200).map(|n| mayfly::alloc::vec![n as u8; n * round].into()).collect();
        let intact = blocks.iter().zip(1..).all(|(block, n)| block.iter().all(|&byte| byte == n));
        check(intact, "a block was overwritten by another")?;
    }
    Ok(())
}
