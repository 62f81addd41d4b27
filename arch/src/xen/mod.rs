//! What the machine itself needs Xen for: to end, to know what time it is, and to be woken in time.
//! All else is for the drivers.

#[cfg(target_os = "none")]
mod power;
pub(crate) mod time;
mod timer;

#[cfg(target_os = "none")]
pub(crate) use power::{Reason, found, shut_down};
#[cfg(target_os = "none")]
pub(crate) use time::wall_clock;
pub use time::{SharedInfo, use_shared_info};
pub use timer::{TIMER_VIRQ, on_timer, use_timer};
