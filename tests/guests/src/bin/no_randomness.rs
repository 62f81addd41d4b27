//! Without any source of randomness, the guest says so and runs, and who needs it gets an error.
//@ cpu: default
//@ machine: qemu
//@ randomness: none
//@ report: WARN
//@ report: no source of randomness; give the guest a virtio-rng device
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{Machine, Result, random};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    check(random::ready().await.is_err(), "there is randomness, nobody knows from where")?;
    check(!random::is_seeded(), "a generator without a seed says that it has one")?;
    let mut bytes = [0; 8];
    check(random::fill(&mut bytes).is_err(), "random bytes were made of nothing")?;
    check(bytes == [0; 8], "bytes were changed by what failed")?;
    // What can do without it works: the address comes by DHCP.
    machine.network().await?;
    guests::pass()
}
