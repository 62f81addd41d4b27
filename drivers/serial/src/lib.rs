//! Console UARTs: PL011 (ARM) and 16550 (PC).
//!
//! What differs between them is in `Registers`; `uart::Uart` makes a console of either.
//! The architecture's polled console writes to the same device before the driver starts and in a
//! fault report. It set up speed and format, if the machine has such things.
#![no_std]

extern crate alloc;

mod ns16550;
mod pl011;
mod registers;
mod start;
mod uart;

pub(crate) use registers::{Causes, Registers};
pub use start::{StartError, Started, start};
