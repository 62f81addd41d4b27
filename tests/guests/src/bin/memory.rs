//! The heap gives back what it got, and running out is an error that names who asked.
//@ machine: microvm gic3
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
    let before = memory::stats().free_frames * memory::PAGE_SIZE;
    for round in 0..20_usize {
        let blocks: Vec<Box<[u8]>> =
            (1..200).map(|n| mayfly::alloc::vec![n as u8; n * (round + 1)].into()).collect();
        let intact = blocks.iter().enumerate().all(|(i, b)| b.iter().all(|&x| x == (i + 1) as u8));
        check(intact, "a block was overwritten by another")?;
    }
    let after = memory::stats().free_frames * memory::PAGE_SIZE;
    check(after + 64 * 1024 >= before, "freed memory did not come back")?;

    let mut huge: Vec<u8> = Vec::new();
    check(huge.try_reserve_exact(before + (1 << 20)).is_err(), "more memory than there is")?;
    check(huge.try_reserve_exact(before / 4).is_ok(), "a quarter of the memory is not to be had")?;
    guests::pass()
}
