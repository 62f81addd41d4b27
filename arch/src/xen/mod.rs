//! What the machine itself needs Xen for: to end, and to know what time it is. All else is for the
//! drivers.

#[cfg(target_os = "none")]
mod power;
pub(crate) mod time;

#[cfg(target_os = "none")]
pub(crate) use power::{Reason, found, shut_down};
#[cfg(target_os = "none")]
pub(crate) use time::wall_clock;
pub use time::{SharedInfo, use_shared_info};
