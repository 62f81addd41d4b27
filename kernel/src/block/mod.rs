//! Disks.
//!
//! A [`Disk`] is a handle that any number of tasks may hold and use at once. Every operation goes
//! to the device as one or more requests; many are under way at the same time and complete in any
//! order. A task of its own (`runner`) tells the device of what was queued and hands out what it
//! answers, so a burst of requests costs one notification.
//!
//! Data is copied once, between the caller's memory and a buffer that belongs to the request until
//! the device has answered. So an operation can be dropped at any time: a read that was dropped
//! leaves no trace, a write that was dropped has happened or not.

mod disk;
mod error;
mod operation;
mod runner;
mod shared;
#[cfg(test)]
mod tests;

pub use disk::Disk;
pub use error::Error;
