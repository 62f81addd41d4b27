//! TCP.

mod connection;
mod engine;
mod io;
mod listener;
mod options;
mod split;
mod stream;

pub(super) use connection::Connection;
pub(super) use engine::Listener;
pub use listener::TcpListener;
pub use options::TcpOptions;
pub use split::{OwnedReadHalf, OwnedWriteHalf};
pub use stream::TcpStream;
