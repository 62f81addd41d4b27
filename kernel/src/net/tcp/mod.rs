//! TCP.

mod connection;
mod engine;
mod listener;
mod options;
mod stream;

pub(super) use connection::Connection;
pub(super) use engine::Listener;
pub use listener::TcpListener;
pub use options::TcpOptions;
pub use stream::TcpStream;
