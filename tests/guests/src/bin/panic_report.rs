//! A panic is reported once, with its place, the functions that led there, the tasks and the log.
//@ machine: microvm gic3 xen
//@ dies: 101
//@ report: mayfly: panic: the number is 7
//@ report: guests/src/bin/panic_report.rs:39
//@ report: panic_report::inner
//@ report: panic_report::outer
//@ report: memory:
//@ report: #0 main: running
//@ report: sleeper: waits for its timer at
//@ report: last log lines:
//@ report: a line of the log
//@ report: end of report
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{hint::black_box, time::Duration};

use mayfly::{spawn_named, time::sleep, yield_now};

#[mayfly::main]
async fn main() -> mayfly::Result {
    mayfly::log::info!("a line of the log");
    spawn_named("sleeper", sleep(Duration::from_secs(1000))).detach();
    yield_now().await;
    outer();
    guests::fail("the panic went unnoticed")
}

#[inline(never)]
fn outer() {
    inner(black_box(7));
    black_box(());
}

#[inline(never)]
fn inner(number: u32) {
    assert!(black_box(number) == 8, "the number is {number}");
}
