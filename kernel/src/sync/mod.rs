//! What tasks use to wait for each other.
//!
//! All of it belongs to one executor: there is one vCPU, so nothing here locks or is `Send`. From
//! an interrupt handler to a task goes a [`Signal`](mayfly_device::Signal).
//!
//! [`select`](fn@select) and [`join`](fn@join) and their relatives come from `embassy-futures`.
#![forbid(unsafe_code)]

pub mod channel;
mod mutex;
mod notify;
pub mod oneshot;
#[cfg(test)]
mod tests;
mod wait_queue;

pub use channel::channel;
pub use embassy_futures::{
    join::{join, join_array, join3, join4},
    select::{Either, Either3, Either4, select, select_array, select_slice, select3, select4},
};
pub use mutex::{Mutex, MutexGuard};
pub use notify::Notify;
