//! There is randomness for who waits for it, and it does not repeat itself.
//@ machine: qemu hyp-gic2 hyp-gic3
//@ cpu: default max
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::random;

#[mayfly::main]
async fn main() -> mayfly::Result {
    random::ready().await?;
    guests::check(random::is_seeded(), "there is no entropy")?;
    let (mut first, mut second) = ([0; 32], [0; 32]);
    random::fill(&mut first)?;
    random::fill(&mut second)?;
    guests::check(first != second, "random bytes repeat themselves")?;
    guests::pass()
}
