//! Boots with every amount of memory, processor and machine, and uses all the memory that is there.
//@ memory: least 8M 64M 513M 3G 8G
//@ arguments: has={memory}
//@ cpu: default max
//@ smp: 4
//@ network: none
#![no_std]
#![no_main]

use guests::check;
use mayfly::{
    Machine, Result,
    alloc::vec::Vec,
    memory::{self, PAGE_SIZE},
};

/// Free frames that even the machine with the least memory has: 768 KiB.
const LEAST: usize = 192;
/// The part of the memory that the image, the firmware and tables may take, and that many frames.
const PART: usize = 50;
const BESIDES: usize = 512;
/// What a processor of 32 bits has addresses for, beside all else, in KiB: 2.75 GiB.
const MOST_OF_32_BITS: usize = 2816 << 10;
/// Most blocks that the free memory is taken in, and frames in the shortest.
const BLOCKS: usize = 64;
const SHORTEST: usize = 16;

#[derive(mayfly::BootArguments)]
struct Arguments {
    /// KiB of memory that the machine has.
    has: usize,
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let arguments: Arguments = machine.arguments()?;
    let stats = memory::stats();
    mayfly::println!("{stats}");
    check(stats.free_frames > LEAST, "less than 768 KiB is free")?;
    check(stats.free_frames <= stats.total_frames, "more is free than there is")?;
    let there = if usize::BITS == 32 { arguments.has.min(MOST_OF_32_BITS) } else { arguments.has };
    let frames = there / (PAGE_SIZE / 1024);
    check(stats.total_frames <= frames, "there is more memory than the machine has")?;
    check(stats.total_frames + frames / PART + BESIDES >= frames, "not all memory is found")?;
    use_all(stats.free_frames)?;
    guests::pass()
}

/// Takes all that is free, from both sides of each hole, and writes to places all over it.
fn use_all(free: usize) -> Result {
    let mut blocks = Vec::with_capacity(BLOCKS);
    let mut used = 0;
    loop {
        // More is no block of memory to Rust.
        let run = memory::stats().longest_free_run.min(isize::MAX.unsigned_abs() / PAGE_SIZE);
        if run < SHORTEST || blocks.len() == BLOCKS {
            break;
        }
        blocks.push(use_all_over(run * PAGE_SIZE)?);
        used += run;
    }
    check(used + free / PART + SHORTEST >= free, "what is free is not to be had")
}

/// Writes to places all over a block of so many bytes, and finds there what was written.
fn use_all_over(size: usize) -> Result<Vec<u8>> {
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
    Ok(block)
}
