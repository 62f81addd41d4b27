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
//!   Connected ────────────────────────────────► maps them, sets up its device
//!                                               Connected
//!        ◄────────────── data through the rings ──────────────►
//!                                               Closing: it wants to go, or is made to
//!   stops, Closing, Closed ───────────────────► unmaps them, Closed
//! ```
//!
//! After that either side may begin anew: `Minder` connects a device again whose back end has closed
//! and comes back, as long as the front end's directory is there, and hands the new rings to the
//! device by its `Session`. What the back end writes is an allegation, and anything
//! may be missing, late, or go away at any time, for the tools that make a device write its nodes
//! one after the other.
//!
//! Devices that come while the guest runs are found, and connected, by `Arrivals`.
//!
//! `Link` is where the two find each other; `Frontend` goes through the stages, each of which is
//! a type of its own, so that a driver cannot skip one: `stages` shows what does not compile. What a
//! driver adds to that is a `Connector`, in which nothing waits: so all that waits is written, and in
//! an image, once.

mod arrivals;
mod device;
mod error;
mod frontend;
mod held;
mod left;
mod link;
mod minder;
mod nodes;
mod pace;
mod progress;
mod queues;
mod ring;
mod session;
mod stages;
mod state;

pub use arrivals::{Arrivals, Start};
pub(crate) use device::Connector;
pub use error::{BusError, ConnectError};
#[doc(hidden)]
pub use frontend::Frontend;
#[cfg(any(test, feature = "fake"))]
pub(crate) use left::clear_all as clear_left_behind;
pub(crate) use left::is_behind as is_left_behind;
#[doc(hidden)]
pub use link::Link;
pub use link::devices;
pub(crate) use minder::start;
pub use minder::{Minder, Sleep, Starting};
#[doc(hidden)]
pub use nodes::Offer;
pub(crate) use nodes::{Node, Seen};
pub(crate) use queues::{MAX_QUEUES, QUEUES_OFFERED, queues};
pub(crate) use ring::{GrantedRing, LargeRing, granted_page, granted_ring, large_ring};
pub(crate) use session::{Line, Session};
#[doc(hidden)]
pub use stages::{Connected, Ended, Initialising, Negotiating};
use state::State;

#[cfg(test)]
mod tests;
