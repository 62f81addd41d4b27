//! An address that is none, as its upper bits differ, is no page fault on x86-64. It dies all the same.
//@ arch: x86_64
//@ machine: qemu xen
//@ dies: 102
//@ report: general protection fault: address that is not canonical
//@ report: violate::read
//@ report: end of report
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    guests::violate::read(isize::MIN as usize)
}
