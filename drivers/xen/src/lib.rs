//! Xen's paravirtual devices behind the device traits.
//!
//! A guest of Xen has no registers to drive. It has hypercalls, event channels, which are
//! interrupts with a number, and pages that it shares with another domain, the back end of a device,
//! which runs in dom0 as a rule. What is on such a page is written by both sides, at any time;
//! whatever the other side writes is an allegation.
//!
//! From the bottom up:
//!
//! - `hypercalls`: what Xen is asked for, as typed functions;
//! - `shared_page`: memory that another domain writes to, as atomic words;
//! - `events`: from the one interrupt that Xen has to the handler of an event channel;
//! - `event_channel`: one of them, from its making to its end;
//! - `grants`: pages that other domains may access, and theirs;
//! - `byte_ring`: a stream of bytes through such a page;
//! - `console`: the console, which is such a ring in each direction;
//! - [`store`], XenStore, by which everything else is negotiated;
//! - [`bus`], how a front end and its back end find each other, and part;
//! - `front_ring`: a ring of requests and responses;
//! - [`channel`], consoles beside the first;
//! - [`net`], network cards;
//! - [`block`], disks;
//! - [`vchan`], streams of bytes between two domains;
//! - [`conduit`], the same by names;
//! - [`balloon`], the memory that the guest gives back and gets;
//! - [`Watchdog`], which ends a guest that hangs;
//! - `incarnation`: which domain the guest is in, as it may be saved and restored, and [`resume`],
//!   which begins anew in another one.
#![no_std]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod balloon;
pub mod block;
mod breaks;
pub mod bus;
mod byte_ring;
pub mod channel;
pub mod conduit;
mod console;
mod error;
mod event_channel;
mod events;
#[cfg(any(test, feature = "fake"))]
#[allow(clippy::unwrap_used, reason = "it is for tests")]
#[cfg_attr(not(test), allow(dead_code, reason = "some are only for unit tests"))]
mod fake;
mod front_ring;
#[doc(hidden)]
#[cfg(any(test, feature = "fake"))]
pub mod fuzz;
#[doc(hidden)]
pub mod grants;
mod hypercalls;
mod incarnation;
pub mod net;
mod platform;
mod resume;
mod shared_page;
mod shared_word;
pub mod store;
mod timer;
pub mod vchan;
mod watchdog;

pub use error::XenError;
pub use platform::{StartError, Xen, start};
pub use resume::{Suspended, resume, suspend};
pub use watchdog::Watchdog;
#[doc(hidden)]
pub use {
    event_channel::EventChannel,
    events::{EventChannels, Port},
    platform::{Sharing, sharing},
    shared_page::HeapPage,
};
