//! xenbus: how a front end and its back end find each other, and part.
//!
//! Each of them has a directory in XenStore, with a `state` that only it writes and the other one
//! watches (xen/include/public/io/xenbus.h):
//!
//! ```text
//!   front end, device/vif/0                     back end, /local/domain/0/backend/vif/5/0
//!
//!   Initialising ─────────────────────────────► Initialising
//!                                               InitWait: its features are there to be read
//!   writes rings and event channels,
//!   Connected (a disk: Initialised first) ────► maps them, sets up its device
//!                                               Connected
//!        ◄────────────── data through the rings ──────────────►
//!                                               Closing: it wants to go, or is made to
//!   stops, Closing, Closed ───────────────────► unmaps them, Closed
//! ```
//!
//! After that either side may begin anew. What the back end writes is an allegation, and anything
//! may be missing, late, or go away at any time, for the tools that make a device write its nodes
//! one after the other.
//!
//! `Link` is where the two find each other; `Frontend` goes through the states, each of which is
//! a type of its own, so that a driver cannot skip one.

mod error;
mod frontend;
mod line;
mod link;
mod ring;
mod state;

pub use error::{BusError, ConnectError};
pub(crate) use frontend::{Connected, Frontend};
pub(crate) use line::Line;
pub use line::Minder;
pub(crate) use link::Link;
pub use link::devices;
pub(crate) use ring::{GrantedRing, granted_ring};
use state::State;

#[cfg(test)]
mod tests;
