//! The Unix platform: what stands for a machine and its devices when the guest is a Linux process.
//!
//! `options` reads the process's own arguments, `boot` makes a [`BootInfo`] of them, and the other
//! modules are drivers behind the same traits as those for virtio: a TAP interface, a stream socket
//! to passt, a file as a disk, getrandom(2), standard input and output. None of them has a thread;
//! they wait in `mayfly_arch::poll`.
//!
//! [`BootInfo`]: mayfly_arch::BootInfo
// Empty on bare metal, so that the whole workspace can be checked for it.
#![cfg_attr(target_os = "none", no_std)]
#![cfg(not(target_os = "none"))]

mod boot;
mod console;
mod disk;
mod entropy;
mod error;
mod link;
mod options;
mod socket;
mod tap;

pub use boot::boot_info;
pub use console::Stdio;
pub use disk::Disk;
pub use entropy::Getrandom;
pub use error::OpenError;
pub use link::open_net;
pub use options::{Options, USAGE, UsageError};
pub use socket::FrameSocket;
pub use tap::Tap;
