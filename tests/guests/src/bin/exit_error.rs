//! An error of main is logged and gives status 1.
//@ machine: microvm gic3 xen
//@ dies: 1
//@ report: main ended with an error: the dog ate it
//@ shutdown: poweroff
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[mayfly::main]
async fn main() -> mayfly::Result {
    Err("the dog ate it".into())
}
