//! Boots with every amount of memory, processor and machine, and reports the memory that is there.
//@ memory: 8M 64M 513M 3G
//@ cpu: default max
//@ smp: 4
//@ network: none
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    let stats = mayfly::memory::stats();
    mayfly::println!("{stats}");
    guests::check(stats.free_frames > 512, "less than 2 MiB are free")?;
    guests::check(stats.free_frames <= stats.total_frames, "more is free than there is")?;
    guests::pass()
}
