//! An app that chose so goes on after a panic in one of its tasks, and learns of it.
//@ report: panic: the first soufflé collapsed
//@ machine: qemu xen
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use guests::check;
use mayfly::{
    Result,
    executor::{JoinError, survive_panics},
    spawn_named, time,
};

#[mayfly::main]
async fn main() -> Result {
    survive_panics(true);
    let mut ticks = 0;
    for attempt in 0..4 {
        let cook = spawn_named("cook", async move {
            // The first time, before the guest has ever waited for an interrupt.
            if attempt > 0 {
                time::sleep(Duration::from_millis(1)).await;
            }
            assert!(attempt != 0, "the first soufflé collapsed");
            attempt
        });
        time::sleep(Duration::from_millis(3)).await;
        ticks += 1;
        match cook.await {
            Ok(done) => check(done == attempt && attempt != 0, "a panic was not noticed")?,
            Err(error) => check(
                error == JoinError::Panicked && attempt == 0,
                "a task was ended that did not panic",
            )?,
        }
    }
    check(ticks == 4, "time stood still")?;
    guests::pass()
}
