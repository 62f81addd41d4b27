//! Mayfly: a library operating system. An app is linked with this crate into an image that boots
//! as a virtual machine, or into a Linux process.
//!
//! ```no_run
//! #![no_std]
//! #![no_main]
//! use mayfly::net::TcpListener;
//!
//! #[mayfly::main]
//! async fn main(machine: mayfly::Machine) -> mayfly::Result {
//!     let network = machine.network().await?; // the first network card, DHCP by default
//!     let mut listener = TcpListener::bind(&network, 7).await?;
//!     loop {
//!         let (mut stream, _peer) = listener.accept().await?;
//!         let client = mayfly::try_spawn("client", async move {
//!             let mut buffer = [0; 1024];
//!             while let Ok(count @ 1..) = stream.read(&mut buffer).await {
//!                 if stream.write_all(&buffer[..count]).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!         // Without memory for one more, this client is turned away.
//!         if let Ok(task) = client {
//!             task.detach();
//!         }
//!     }
//! }
//! ```
//!
//! | module | |
//! |---|---|
//! | [`net`] | TCP, UDP, names |
//! | [`block`] | disks |
//! | [`time`] | sleeping, ticking, timeouts, clocks |
//! | [`sync`] | channels, locks, the first of several futures |
//! | [`executor`] | tasks |
//! | [`console`] | printing and reading |
//! | [`config`] | boot arguments |
//! | [`memory`] | allocations that may fail, and how much memory is left |
//! | [`random`] | random bytes |
//! | [`power`] | ways to end |
//! | [`log`] | the log |
//! | [`xen`] | XenStore, vchan, Conduit |
//!
//! [`Machine`] leads to the devices, [`main`](macro@main) makes a function the first task. The
//! guide in `docs/guide` of the repository goes through it all by examples.
#![cfg_attr(target_os = "none", no_std)]

#[doc(hidden)]
pub extern crate alloc;

pub mod block;
#[cfg(target_os = "none")]
mod boot;
pub mod chart;
pub mod config;
pub mod console;
mod devices;
mod error;
pub mod executor;
#[cfg(not(target_os = "none"))]
mod host;
#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "a process has no interrupts"))]
#[doc(hidden)]
pub mod interrupts;
mod launch;
pub mod log;
mod machine;
#[doc(hidden)]
pub mod macro_support;
pub mod memory;
pub mod net;
pub mod power;
pub mod random;
#[cfg(target_os = "none")]
mod report;
#[cfg(target_os = "none")]
mod symbols;
pub mod sync;
pub mod time;
pub mod xen;

pub use config::BootArguments;
pub use error::{Error, Result};
pub use executor::{JoinHandle, spawn, spawn_named, try_spawn, yield_now};
#[cfg(not(target_os = "none"))]
#[doc(hidden)]
pub use host::host_main;
pub use machine::Machine;
pub use mayfly_macros::{BootArguments, main};
