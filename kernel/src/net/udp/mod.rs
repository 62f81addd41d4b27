//! UDP.

mod datagram;
mod engine;
mod socket;

pub use datagram::Datagram;
pub(super) use datagram::Kept;
pub(super) use engine::{Binding, is_intact};
pub use socket::UdpSocket;
