//! The initrd arrives whole, at whatever address, and stays as it is while memory is used.
//@ machine: qemu hyp-gic3
//@ memory: 8M 3G
//@ initrd: 100001
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{Machine, Result, alloc::vec::Vec, memory};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let Some(initrd) = machine.initrd() else { return guests::fail("there is no initrd") };
    check(initrd.len() == 100_001, "the initrd has another length")?;
    check(guests::is_initrd(initrd), "the initrd has other content")?;
    fill_memory();
    check(guests::is_initrd(initrd), "the initrd was overwritten")?;
    guests::pass()
}

/// Writes to nearly all memory that is free and near, so that what is taken for free is overwritten.
fn fill_memory() {
    const BLOCK: usize = 64 << 10;
    const MOST: usize = 64 << 20;
    let wanted = (memory::stats().free_frames * memory::PAGE_SIZE).min(MOST) / BLOCK;
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let mut block = Vec::new();
        if block.try_reserve_exact(BLOCK).is_err() {
            break;
        }
        block.resize(BLOCK, 0xff);
        blocks.push(block);
    }
    core::hint::black_box(&blocks);
}
