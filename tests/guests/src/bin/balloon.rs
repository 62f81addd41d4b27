//! Becomes smaller and larger as `xl mem-set` asks it to. dom0 writes a number to `data/order`, again
//! and again: each time the guest uses all the memory that it can have, checks that it is memory, and
//! writes to `data/answer` the number, and how many KiB it could use, and how many it has by its own
//! count. The order `end` ends it.
//@ machine: xen
//@ memory: 32M
//@ dom0: balloon.sh
//@ network: none
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{
    Machine, Result,
    alloc::{format, vec::Vec},
    memory,
};

/// Bytes of a block, whole frames.
const BLOCK: usize = 64 << 10;
const FRAME: usize = memory::PAGE_SIZE;

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let xen = machine.xen().ok_or("this guest is for Xen")?;
    let store = xen.store();
    let mut watch = store.watch("data/order").await?;
    loop {
        watch.next().await?;
        let Ok(order) = store.read_text("data/order").await else { continue };
        if order == "end" {
            return guests::pass();
        }
        let had = (memory::stats().total_frames * FRAME) >> 10;
        let used = use_all()? >> 10;
        check(used < had, "more memory could be used than there is")?;
        store.write("data/answer", format!("{order} {used} {had}")).await?;
    }
}

/// Fills as many blocks as there are with what is different in each frame, and reads it again. Returns
/// how many bytes that were.
fn use_all() -> Result<usize> {
    let mut blocks = Vec::new();
    while let Ok(mut block) = memory::try_zeroed(BLOCK, "a block") {
        if memory::try_reserve(&mut blocks, 1, "blocks").is_err() {
            break;
        }
        let first = blocks.len() * BLOCK;
        for (frame, number) in block.chunks_mut(FRAME).zip((first..).step_by(FRAME)) {
            frame.fill((number / FRAME % 251) as u8);
            if let Some(head) = frame.first_chunk_mut() {
                *head = number.to_le_bytes();
            }
        }
        blocks.push(block);
    }
    let numbers = (0..).step_by(FRAME);
    for (frame, number) in blocks.iter().flat_map(|block| block.chunks(FRAME)).zip(numbers) {
        let (head, tail) = frame.split_at(size_of::<usize>());
        let is_same = tail.iter().all(|byte| *byte == (number / FRAME % 251) as u8);
        check(head == usize::to_le_bytes(number) && is_same, "a frame has not what was written")?;
    }
    Ok(blocks.len() * BLOCK)
}
