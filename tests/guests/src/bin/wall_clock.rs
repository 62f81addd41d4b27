//! The guest has the time of day from Xen, and it is dom0's, which asks for it again and again.
//@ machine: xen
//@ network: none
//@ dom0: clock.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{
    Machine, Result,
    alloc::string::{String, ToString},
    println, time,
};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    guests::agent::obey(&machine, async |command| (command == "time").then(seconds)).await?;
    guests::pass()
}

/// Seconds since 1970.
fn seconds() -> String {
    let Some(time) = time::wall_clock() else { return "unknown".to_string() };
    println!("it is {time:?}");
    time.as_secs().to_string()
}
