//! An interrupt handler may wake a task that has ended, whose place another one has taken.
//@ machine: microvm gic3 xen
//@ disk: 1M
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::future::{pending, poll_fn};

use mayfly::{Machine, Result, spawn, yield_now};
use mayfly_arch::in_interrupt;
use mayfly_device::{InterruptHandler, Signal};

static SIGNAL: Signal = Signal::new();

struct Wakes;

impl InterruptHandler for Wakes {
    fn interrupt(&self) {
        if in_interrupt() {
            SIGNAL.raise();
        }
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    // The driver's own tasks are there before those that this is about.
    machine.disk(0).await?;
    let waits = spawn(poll_fn(|cx| SIGNAL.poll(cx)));
    yield_now().await;
    drop(waits);
    yield_now().await;
    for _ in 0..10 {
        spawn(pending::<()>()).detach();
    }
    yield_now().await;
    guests::interrupts::take(&machine, &Wakes).await?;
    guests::check(SIGNAL.take(), "the signal was not raised")?;
    guests::pass()
}
