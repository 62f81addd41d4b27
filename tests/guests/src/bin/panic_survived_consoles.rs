//! After a panic that an app survives, all consoles go on as before, and what is typed arrives.
//@ machine: qemu
//@ type: virtio
//@ report: panic: a soufflé collapsed
//@ report: Who is there?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use mayfly::{
    Result, console,
    executor::{JoinError, survive_panics},
    spawn_named,
};

#[mayfly::main]
async fn main() -> Result {
    survive_panics(true);
    console::use_all_devices();
    let cook = spawn_named("cook", async { panic!("a soufflé collapsed") });
    let end: core::result::Result<(), _> = cook.await;
    guests::check(end == Err(JoinError::Panicked), "the panic was not noticed")?;
    guests::typed::check_name().await?;
    guests::pass()
}
