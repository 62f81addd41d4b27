//! A fault with a frame pointer that leads nowhere is reported to the end: the backtrace says where it
//! was, and no more.
//@ machine: microvm gic3 xen
//@ dies: 102
//@ report: hit the NULL page
//@ report: violate::fault_with_frame_pointer
//@ report: #0 main: running
//@ report: end of report
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::fault_with_frame_pointer(guests::violate::NOWHERE);
    guests::fail("the fault went unnoticed")
}
