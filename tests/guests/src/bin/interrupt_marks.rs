//! An interrupt handler may count, log, write to the console and wake a task. What it writes never
//! ends up within a line of the task that it interrupts.
//@ machine: microvm gic3 xen
//@ disk: 1M
//@ report: an interrupt has come
//@ report: a line is whole
//@ report: a line of the log is whole
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{
    fmt,
    future::poll_fn,
    sync::atomic::{AtomicU32, Ordering},
};

use mayfly::{Machine, Result};
use mayfly_arch::{IrqLock, in_interrupt};
use mayfly_device::{InterruptHandler, Signal};

static OUTSIDE: AtomicU32 = AtomicU32::new(0);
static COUNT: IrqLock<u32> = IrqLock::new(0);
static SIGNAL: Signal = Signal::new();

struct Marks;

impl Marks {
    fn write() {
        mayfly::log::info!("an interrupt has come");
        mayfly::println!("it is handled");
    }
}

impl InterruptHandler for Marks {
    fn interrupt(&self) {
        if !in_interrupt() {
            OUTSIDE.fetch_add(1, Ordering::Relaxed);
            return;
        }
        COUNT.with(|count| *count += 1);
        Self::write();
        SIGNAL.raise();
    }
}

/// A part of a line, while which is formatted something is written, as a handler may do it.
struct Meanwhile;

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Marks::write();
        f.write_str("whole")
    }
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let waiter = mayfly::spawn(poll_fn(|cx| SIGNAL.poll(cx)));
    guests::interrupts::take(&machine, &Marks).await?;
    guests::check(waiter.await == Ok(()), "the task that waits has ended otherwise")?;
    guests::check(COUNT.with(|count| *count) > 0, "the handler was not called")?;
    guests::check(OUTSIDE.load(Ordering::Relaxed) > 0, "what came before is forgotten")?;
    mayfly::println!("a line is {Meanwhile}");
    mayfly::log::info!("a line of the log is {Meanwhile}");
    guests::pass()
}
