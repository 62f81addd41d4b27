//! A fault while a fault is reported ends the report with one line. The report lists the tasks, and
//! the name of one cannot be read.
//@ machine: microvm gic3 xen
//@ dies: 126
//@ report: hit the NULL page
//@ report: violate::write
//@ report: mayfly: fault in the fault report:
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::future::pending;

use guests::violate::{NOWHERE, unreadable_text, write};

#[mayfly::main]
async fn main() -> mayfly::Result {
    mayfly::spawn_named(unreadable_text(), pending::<()>()).detach();
    write(NOWHERE)
}
