//! What can be chosen about a TCP connection before it exists.

/// Sizes of a connection's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Bytes that the peer may send before they are read, at first.
    pub receive_buffer: usize,
    /// Bytes that can be written before the peer acknowledges them, at first.
    pub send_buffer: usize,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { receive_buffer: 4096, send_buffer: 4096 }
    }
}
