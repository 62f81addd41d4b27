//! Waits, with its page tables finished and devices in use, while `xtask/src/test/tables` looks at it.
//@ machine: peers
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{Machine, Result, println, time::sleep};

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let _network = machine.network().await?;
    println!("The page tables are finished.");
    loop {
        sleep(Duration::from_secs(60)).await;
    }
}
