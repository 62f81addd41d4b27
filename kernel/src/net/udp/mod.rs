//! UDP.

mod engine;
mod socket;

pub(super) use engine::{Binding, is_intact};
pub use socket::{Datagram, UdpSocket};
