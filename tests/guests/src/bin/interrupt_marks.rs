//! An interrupt handler may count, log, write to the console and wake a task. What it writes never
//! ends up within a line of the task that it interrupts.
//@ machine: microvm gic3 xen
//@ disk: 1M
//@ report: an interrupt has come
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{
    fmt,
    future::poll_fn,
    sync::atomic::{AtomicU32, Ordering},
};

use mayfly::{Machine, Result};
use mayfly_arch::{IrqLock, cpu, in_interrupt};
use mayfly_device::{InterruptHandler, Signal};

static OUTSIDE: AtomicU32 = AtomicU32::new(0);
static COUNT: IrqLock<u32> = IrqLock::new(0);
static SIGNAL: Signal = Signal::new();

struct Marks;

impl InterruptHandler for Marks {
    fn interrupt(&self) {
        if !in_interrupt() {
            OUTSIDE.fetch_add(1, Ordering::Relaxed);
            return;
        }
        COUNT.with(|count| *count += 1);
        mayfly::log::info!("an interrupt has come");
        mayfly::println!("it is handled");
        SIGNAL.raise();
    }
}

/// Counts how often it is shown where an interrupt handler could write.
struct Part;

static INTERRUPTIBLE: AtomicU32 = AtomicU32::new(0);

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if cpu::interrupts_enabled() {
            INTERRUPTIBLE.fetch_add(1, Ordering::Relaxed);
        }
        f.write_str("part of a line")
    }
}

fn write_lines() -> Result {
    guests::check(cpu::interrupts_enabled(), "interrupts are off before")?;
    mayfly::println!("{Part}, {Part}");
    mayfly::log::info!("{Part}, {Part}");
    guests::check(INTERRUPTIBLE.load(Ordering::Relaxed) == 0, "a line can be interrupted")?;
    guests::check(cpu::interrupts_enabled(), "interrupts are off afterwards")
}

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let waiter = mayfly::spawn(poll_fn(|cx| SIGNAL.poll(cx)));
    guests::interrupts::take(&machine, &Marks).await?;
    guests::check(waiter.await == Ok(()), "the task that waits has ended otherwise")?;
    guests::check(COUNT.with(|count| *count) > 0, "the handler was not called")?;
    guests::check(OUTSIDE.load(Ordering::Relaxed) > 0, "what came before is forgotten")?;
    write_lines()?;
    guests::pass()
}
