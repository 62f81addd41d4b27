//! Console UARTs.
#![no_std]
