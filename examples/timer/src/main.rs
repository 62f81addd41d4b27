//! Ticks, waits, gives up waiting, and ends: the ways to deal with time.
//!
//! `cargo xtask run timer -- count=3 period=200ms`. The tutorial page is `docs/guide/timer.md`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::time::Duration;

use mayfly::{
    BootArguments, Machine, println, spawn,
    time::{Instant, interval, sleep, timeout, wall_clock},
};

#[derive(BootArguments)]
struct Arguments {
    /// Time between two ticks.
    #[arg(default = "1s")]
    period: Duration,
    /// How many ticks.
    #[arg(default = 5)]
    count: u32,
}

#[mayfly::main]
async fn main(machine: Machine) -> mayfly::Result<()> {
    let arguments: Arguments = machine.arguments()?;
    if arguments.period.is_zero() {
        return Err("period=0s would tick for ever; make it longer".into());
    }
    println!("up for {} ms", Instant::now().as_nanos() / 1_000_000);
    match wall_clock() {
        Some(time) => println!("{} seconds since 1970", time.as_secs()),
        None => println!("this machine has no calendar"),
    }

    // Tasks run side by side: this one sleeps while the other one ticks.
    let start = Instant::now();
    let ticks = spawn(tick(arguments.period, arguments.count));
    sleep(arguments.period / 2).await;
    println!("half a period is over after {} ms", start.elapsed().as_millis());
    let late = ticks.await?;
    println!("{} ticks, none later than {} us", arguments.count, late.as_micros());

    // A future that takes too long is dropped, which cancels what it was doing.
    match timeout(arguments.period, sleep(arguments.period * 10)).await {
        Ok(()) => println!("slept through"),
        Err(error) => println!("as intended: {error}"),
    }
    Ok(())
}

/// Ticks `count` times and returns by how much the latest tick was late. An interval does not
/// drift: that one tick is late does not make the next one late.
async fn tick(period: Duration, count: u32) -> Duration {
    let mut ticks = interval(period);
    let mut worst = Duration::ZERO;
    for number in 1..=count {
        let due = ticks.tick().await;
        worst = worst.max(due.elapsed());
        println!("tick {number}");
    }
    worst
}
