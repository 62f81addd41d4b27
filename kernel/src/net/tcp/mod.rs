//! TCP.

mod adopt;
mod backlog;
mod connect;
mod connection;
mod crowd;
mod engine;
mod gap;
mod grow;
mod io;
mod listener;
mod options;
mod orphan;
mod peer_options;
mod progress;
mod rebuild;
mod resend;
mod retransmission;
mod revision;
mod seed;
mod segment;
mod stage;
mod stream;
mod time_wait;
mod window;

pub use adopt::{AdoptError, SynRecord};
pub(super) use backlog::{LAST_MEMORY, Listener};
pub(super) use connection::Connection;
pub(super) use crowd::{Crowd, LATE};
pub(super) use grow::free_memory;
pub use listener::TcpListener;
pub use options::TcpOptions;
pub(super) use revision::Revision;
pub use stream::TcpStream;
pub(super) use time_wait::TimeWait;
