//! The network: TCP streams and listeners, UDP sockets, names, on smoltcp.
//!
//! ```text
//!   TcpListener  TcpStream  UdpSocket  resolve, connect  what apps use (async)
//!        └───────────┴────┬─────┴─────────────┘
//!                     Network                           a handle to one interface
//!                        │        runner                the task that moves frames
//!                      Stack ───────┘                   state of one interface, no tasks, no clock
//!     wire: whose frame? ┤
//!       connections ─────┤  each a smoltcp socket in a set of its own
//!       UDP bindings ────┤  queues of frames
//!       base set ────────┤  smoltcp's DHCP, DNS, ARP, ICMP
//!                      Port                             frames to and from the driver
//! ```
//!
//! The stack looks at the headers of each frame first and finds its connection by hash, so that a
//! segment costs the same with one connection and with ten thousand. Only connections that may
//! have something to send are asked: those that got a segment, those that the app touched, and
//! those whose timer is due.
#![forbid(unsafe_code)]

mod autoconf;
mod by_name;
mod checksum;
mod config;
mod configure;
mod cutting;
mod deadlines;
mod emit;
mod error;
mod flow_map;
mod groups;
mod halves;
mod link;
mod merge;
mod neighbors;
mod network;
mod outgoing;
mod phy;
mod port;
mod port_map;
mod random;
mod resolve;
mod runner;
mod segments;
mod slot_set;
mod stack;
mod stats;
mod stream;
mod tcp;
mod udp;
mod waker;
mod wire;

pub(crate) use by_name::{Connecting, Names, set_names};
pub use config::{ConfigError, Ipv4Config, Ipv6Config, NetConfig};
pub use error::Error;
pub use halves::{Duplex, ReadHalf, WriteHalf};
pub use network::Network;
pub use resolve::AddressKind;
pub use stats::Stats;
pub(crate) use stream::Channel;
pub use stream::Stream;
pub use tcp::{AdoptError, SynRecord, TcpListener, TcpOptions, TcpStream};
pub use udp::{Datagram, UdpSocket};
